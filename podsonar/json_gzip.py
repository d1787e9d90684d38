"""JSON by orjson, gzip by ISA-L: the two encodings of everything that is stored or sent."""

from collections.abc import Iterable
from typing import Any

import orjson
from isal import igzip, isal_zlib

MOST_MEMBERS = 1000
GZIP_BITS = 31  # zlib.h, deflateInit2(): the largest window, in gzip's container


def pack(body: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The gzipped JSON of a value; equal values give equal bytes."""
    return deflated([orjson.dumps(body)])


def deflated(parts: Iterable[bytes]) -> bytes:
    """The gzipped parts, which need not be there all at once; equal parts give equal bytes."""
    packer = isal_zlib.compressobj(2, wbits=GZIP_BITS)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def inflated(payload: bytes) -> bytes:
    """The plain bytes of a gzipped body, of one member or several."""
    plain: bytes = igzip.decompress(payload)  # type: ignore[no-untyped-call]
    return plain


def inflate_within(payload: bytes, most_bytes: int) -> bytes:
    """The plain bytes of a gzipped body; ValueError if it is damaged, or larger than that when it is inflated.

    Time and memory are bounded by the limit and the length of the payload, whatever the payload holds.
    """
    parts: list[bytes] = []
    left, rest = most_bytes, payload
    for _ in range(MOST_MEMBERS):
        stream = isal_zlib.decompressobj(wbits=GZIP_BITS)
        try:
            parts.append(stream.decompress(rest, left + 1))
        except isal_zlib.error as error:  # type: ignore[misc]
            raise ValueError(f"no whole gzip data: {error}") from error
        left -= len(parts[-1])
        if left < 0:
            raise ValueError(f"gzip data holds more than {most_bytes} bytes")
        if not stream.eof:
            raise ValueError("gzip data is cut short")
        rest = stream.unused_data
        if not rest.strip(b"\0"):
            return b"".join(parts)
    raise ValueError(f"gzip data has more than {MOST_MEMBERS} members")


def unpack(payload: bytes) -> Any:  # noqa: ANN401
    """The value of gzipped JSON."""
    return orjson.loads(inflated(payload))
