"""Podsonar on a real cluster; a package, so that shared fixtures are torn down after its last test."""
