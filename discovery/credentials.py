"""Tokens from files: read again when the file changes, never shown."""

import os
from pathlib import Path

from discovery.errors import TokenError

SHORTEST, LONGEST = 20, 256


class TokenFile:
    """The token in a file: a rotated Secret is seen at the next read, a briefly absent one keeps the last token."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.stamp: tuple[int, int, int] | None = None
        self.token: str | None = None

    def __repr__(self) -> str:
        """The file's name; never the token."""
        return f"TokenFile({str(self.path)!r})"

    def read(self) -> str:
        """The token; TokenError where the file is absent, empty or holds something else."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self.stamp or self.token is None:
                self.token = checked(self.path)
                self.stamp = stamp
        except OSError as error:
            if self.token is None:
                raise TokenError(
                    f"token file {str(self.path)!r}: {error.strerror}; expected a readable file"
                ) from error
        return self.token or ""


def checked(path: Path) -> str:
    """The token in a file, without its trailing line end."""
    with path.open("rb") as file:
        content = file.read(LONGEST + 3)
    token = content.rstrip(b"\r\n")
    if not SHORTEST <= len(token) <= LONGEST or not all(33 <= byte < 127 for byte in token):
        raise TokenError(
            f"token file {str(path)!r} holds {len(token)} bytes, "
            f"expected {SHORTEST} to {LONGEST} printable ASCII characters"
        )
    return os.fsdecode(token)
