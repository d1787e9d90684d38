"""The body of one page: what stands in front of its objects, and the objects a few at a time.

Parsed whole, 500 pods are 25 MB of objects: out of the processor's cache before they are looked at, and new memory of
the kernel for each page. Where a server writes what API servers write, a few objects are parsed, worked on and let go
of before the next; whatever else is a list is parsed whole. Either way it is all parsed, to its last byte, but for what
`managed_fields` empties.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from collector.k8s.kinds import Kind
from collector.k8s.managed_fields import parse_objects
from collector.k8s.streaming_list import MalformedAnswerError, list_head

GROUP_BYTES = 64 << 10  # a dozen pods: their objects fit into a processor's own cache
BETWEEN = b'},{"metadata":{'
Objects = list[dict[str, Any]]


def is_list(document: object, kind: Kind) -> bool:
    """Return whether a document, or its head, is a list of that kind."""
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        return False
    return bool(document.get("kind", f"{kind.name}List") == f"{kind.name}List")


def parse_json(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse the JSON; MalformedAnswerError if it is cut short."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedAnswerError("truncated answer") from error


def parse_page(body: bytes, kind: Kind) -> tuple[dict[str, Any], Iterator[Objects]]:
    """A page's own metadata, and its objects in groups; MalformedAnswerError where it is no list of that kind.

    The groups raise it too, where what follows the metadata is no JSON.
    """
    try:
        head = list_head(body)
    except MalformedAnswerError:  # another order of members
        head = None
    if head and is_list(head[0], kind) and body.endswith((b"]}", b"]}\n")):
        return head[0]["metadata"], object_groups(body, head[1])
    document = parse_json(body)
    if not is_list(document, kind) or "items" not in document:
        raise MalformedAnswerError("answer is no list")
    return document["metadata"], iter([document["items"] or []])


def object_groups(body: bytes, begin: int) -> Iterator[Objects]:
    """The objects that begin there, in groups of about `GROUP_BYTES`.

    A group ends where the text up to there is JSON. That of half an object is not: what is open in it stays open.
    """
    size = GROUP_BYTES
    while (end := body.find(BETWEEN, begin + size)) >= 0:
        try:
            objects = parse_objects(b"[%b]" % body[begin : end + 1])
        except orjson.JSONDecodeError:  # between two parts of one object
            size *= 2
            continue
        yield objects
        begin, size = end + 2, GROUP_BYTES
    try:
        yield parse_objects(b"[%b" % body[begin : body.rindex(b"}")])
    except orjson.JSONDecodeError as error:
        raise MalformedAnswerError("truncated answer") from error
