"""Reads files that users name: bounded in size, unpacked, and as UTF-8."""

from pathlib import Path

from podsonar.errors import InputError
from podsonar.json_gzip import inflate_within

GZIP = b"\x1f\x8b"
UTF8_MARK, UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def read_input(path: Path, what: str, most_bytes: int, expected: str) -> bytes:
    """Return the bytes of a file, inflated if they are gzip; InputError if they are more than that.

    A byte order mark is removed, and UTF-16, as PowerShell redirects it, becomes UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise InputError(f"{what} {str(path)!r}: {error.strerror}; expected a readable file") from error
    if len(content) > most_bytes:
        raise InputError(f"{what} {str(path)!r}: it has more than {in_words(most_bytes)}; expected {expected}")
    size = len(content)
    try:
        if content.startswith(GZIP):
            content = inflate_within(content, most_bytes)
        if content.startswith(UTF16_MARKS):
            content = content.decode("utf-16").encode("utf-8", "replace")
    except ValueError as error:
        raise InputError(
            f"{what} {str(path)!r}: its {size} bytes are unusable: {error}; expected {expected}"
        ) from error
    return content.removeprefix(UTF8_MARK)


def in_words(size: int) -> str:
    """Bytes in whole MiB, or KiB where they are less than one."""
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
