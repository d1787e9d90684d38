"""Large answers: gzipped for who takes that, and not sent again to who has this version."""

from collections.abc import Sequence
from hashlib import blake2b

from isal import igzip_lib
from starlette.requests import Request
from starlette.responses import Response

SMALL_BYTES = 1400  # what fits into one packet gains nothing
FAST = 0  # 10 MB in 10 ms


def entity_tag(*parts: str) -> str:
    """A strong tag (RFC 9110, 8.8.3) of what makes up an answer."""
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(part.encode() + b"\0")
    return f'"{digest.hexdigest()}"'


def accepts_gzip(request: Request) -> bool:
    """Whether the request takes a gzipped answer (RFC 9110, 12.5.3)."""
    for one in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, parameters = one.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def has_version(request: Request, tag: str) -> bool:
    """Whether the request says that it has this version."""
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return tag in known or "*" in known


def versioned_response(
    request: Request, parts: Sequence[bytes], tag: str, media_type: str = "application/json"
) -> Response:
    """The parts as one body with its tag; 304 without a body for who has it."""
    headers = {"ETag": tag, "Vary": "Accept-Encoding"}
    if has_version(request, tag):
        return Response(status_code=304, headers=headers)
    body = b"".join(parts)
    if len(body) > SMALL_BYTES and accepts_gzip(request):
        body = igzip_lib.compress(body, FAST, igzip_lib.COMP_GZIP)
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers, media_type=media_type)
