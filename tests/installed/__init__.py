"""Podsonar on a real cluster; a package, so that what its tests share is taken away after the last of them."""
