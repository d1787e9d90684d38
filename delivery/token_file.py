"""Tokens from files: read again when the file changes, never shown."""

import os
from pathlib import Path

import structlog

from podsonar.errors import TokenError, TokenInvalidError

SHORTEST, LONGEST = 20, 256
MOUNTS = Path("/proc/self/mountinfo")

log = structlog.get_logger()


class TokenFile:
    """The token in a file: a rotated Secret counts from the next read, the last token while the file is absent."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.stamp: tuple[int, int, int] | None = None
        self.token: str | None = None

    def __repr__(self) -> str:
        """The file's name; never the token."""
        return f"TokenFile({str(self.path)!r})"

    def file_stamp(self) -> tuple[int, int, int]:
        """The values by which a changed file is recognized; OSError if there is no file."""
        found = self.path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def has_changed(self) -> bool:
        """Whether the file is another one than at the last read; one that is absent has not changed yet."""
        try:
            return self.file_stamp() != self.stamp
        except OSError:
            return False

    def read(self) -> str:
        """The token; TokenError if the file is absent, TokenInvalidError if it holds something else."""
        try:
            stamp = self.file_stamp()
            if stamp != self.stamp or self.token is None:
                self.token, self.stamp = None, stamp
                self.token = read_token(self.path)
        except OSError as error:
            if self.token is None:
                raise TokenError(
                    f"token file {str(self.path)!r}: {error.strerror}; expected a readable file"
                ) from error
        return self.token or ""

    def check_at_start(self) -> None:
        """Warn of a file that holds no token yet, or whose rotation never arrives; TokenError if it is absent."""
        try:
            self.read()
        except TokenInvalidError as error:
            log.warning("token_invalid", error=str(error))
        if is_mount_point(self.path, MOUNTS.read_text(encoding="utf-8")):
            log.warning("token_will_not_rotate", file=str(self.path), advice="mount the Secret's folder, not a subPath")


def is_mount_point(path: Path, mounts: str) -> bool:
    """Whether the file itself is mounted, as `subPath` does: then no rotation of the Secret reaches it."""
    points = {fields[4] for fields in map(str.split, mounts.splitlines()) if len(fields) > 4}
    return str(path.absolute()).replace(" ", "\\040") in points


def read_token(path: Path) -> str:
    """The token in a file, without its trailing line end."""
    with path.open("rb") as file:
        content = file.read(LONGEST + 3)
    token = content.rstrip(b"\r\n")
    if not SHORTEST <= len(token) <= LONGEST or not all(33 <= byte < 127 for byte in token):
        raise TokenInvalidError(
            f"token file {str(path)!r} holds {len(token)} bytes, "
            f"expected {SHORTEST} to {LONGEST} printable ASCII characters"
        )
    return os.fsdecode(token)
