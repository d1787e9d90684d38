"""JSON by orjson, gzip by ISA-L: the two encodings of everything that is stored or sent."""

from typing import Any

import orjson
from isal import igzip


def encode(body: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """The JSON bytes of a value."""
    return orjson.dumps(body)


def pack(body: Any) -> bytes:  # noqa: ANN401
    """The gzipped JSON of a value; equal values give equal bytes."""
    packed: bytes = igzip.compress(orjson.dumps(body), 2, mtime=0)
    return packed


def inflated(payload: bytes) -> bytes:
    """The plain bytes of a gzipped body, of one member or several."""
    plain: bytes = igzip.decompress(payload)  # type: ignore[no-untyped-call]
    return plain


def unpack(payload: bytes) -> Any:  # noqa: ANN401
    """The value of gzipped JSON."""
    return orjson.loads(inflated(payload))
