"""The one `podsonar` command; the only package that imports every other."""
