"""One module a schema change, in order of `revision`."""
