"""The page in a real Chromium; a package, so that the browser is closed after its last test."""
