"""JSON by orjson, gzip by ISA-L: the two encodings of everything that is stored or sent."""

from collections.abc import Iterable
from typing import Any

import orjson
from isal import igzip, isal_zlib

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


def unpack(payload: bytes) -> Any:  # noqa: ANN401
    """The value of gzipped JSON."""
    return orjson.loads(inflated(payload))
