"""gzip bodies inflated within a limit: memory never exceeds the limit by more than one step."""

from isal import igzip_lib

STEP_BYTES = 65536
# The stubs of isal declare `error` as a value and not as the class that it is.
GZIP_ERRORS: tuple[type[Exception], ...] = (igzip_lib.error, EOFError)  # type: ignore[assignment]


class TooLargeError(ValueError):
    """The body is larger than the limit once inflated."""


class BadBodyError(ValueError):
    """The body is not what its headers say, or not what is expected; `pointer` names the place."""

    def __init__(self, text: str, pointer: str = "") -> None:
        super().__init__(text)
        self.pointer = pointer


def inflate(body: bytes, limit_bytes: int) -> bytes:
    """The plain bytes of one or more gzip members; TooLargeError beyond the limit, BadBodyError if they are broken."""
    pieces: list[bytes] = []
    size = 0
    rest = body
    while rest or not pieces:
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        given = rest
        while not member.eof:
            try:
                piece = member.decompress(given, STEP_BYTES)
            except GZIP_ERRORS as error:
                raise BadBodyError("body is not valid gzip") from error
            given = b""
            if not piece and not member.eof and member.needs_input:
                raise BadBodyError("gzip body ends early")
            size += len(piece)
            if size > limit_bytes:
                raise TooLargeError(f"body is larger than {limit_bytes} bytes once inflated")
            pieces.append(piece)
        rest = member.unused_data
    return b"".join(pieces)
