"""Inflates gzip bodies: size, ratio and number of members are bounded, memory and time are linear in the limit."""

from isal import igzip_lib

STEP_BYTES = 65536
# A decompressor costs as much as 100 KB of text: 8 MiB of empty members would take most of a minute. The collector
# writes one member per 500 objects or 512 KiB.
MAX_MEMBERS = 256
# JSON of one window inflates at most 40:1; deflate's own limit is 1032:1 (RFC 1951).
MAX_RATIO = 200
RATIO_FREE_BYTES = 1 << 20
# The stubs of isal declare `error` as a value and not as the class that it is.
GZIP_ERRORS: tuple[type[Exception], ...] = (igzip_lib.error, EOFError)  # type: ignore[assignment]


class TooLargeError(ValueError):
    """The body is larger than a limit allows once inflated or decoded; a sender halves it."""


class BadBodyError(ValueError):
    """The body differs from its headers or from the schema; `pointer` names the place."""

    def __init__(self, text: str, pointer: str = "") -> None:
        super().__init__(text)
        self.pointer = pointer


def inflate(body: bytes | bytearray, limit_bytes: int) -> bytearray:
    """The plain bytes of one or more gzip members.

    TooLargeError beyond `limit_bytes`, or beyond 200:1 after the first MiB; BadBodyError if a member is broken or there
    are more than 256.
    """
    plain = bytearray()
    given = memoryview(body)
    place = 0  # of the first byte that no member has taken
    for _ in range(MAX_MEMBERS):
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            step = given[place : place + STEP_BYTES] if member.needs_input else b""
            if member.needs_input and not step:
                raise BadBodyError("gzip body ends early")
            place += len(step)
            try:
                plain += member.decompress(bytes(step), STEP_BYTES)
            except GZIP_ERRORS as error:
                raise BadBodyError("body is not valid gzip") from error
            if len(plain) > limit_bytes:
                raise TooLargeError(f"body is larger than {limit_bytes} bytes once inflated")
            if len(plain) > max(RATIO_FREE_BYTES, MAX_RATIO * place):
                raise TooLargeError(f"body inflates to more than {MAX_RATIO} times its size")
        place -= len(member.unused_data)
        if place == len(given):
            return plain
    raise BadBodyError(f"gzip body has more than {MAX_MEMBERS} members")
