"""Parses objects without their managed fields: they do not leave, and are a third of a pod's JSON and of its parsing.

API servers write them as the last field of an object's metadata, in front of its spec. They hold no list of their own
(structured-merge-diff: sets are objects). Where the text between is anything else, it is parsed.
"""

from typing import Any

import orjson

BEGIN, END = b'"managedFields":[', b']},"spec":{'
LIST, NEXT_OBJECT = b'":[', b'},{"metadata":{'


def parse_objects(text: bytes) -> Any:  # noqa: ANN401 - JSON
    """Parse JSON, lists of managed fields empty where that is certain; orjson.JSONDecodeError if it is none.

    What is left out goes from a bracket that opens to one that closes. If what remains is JSON as the whole is, both
    are of equal depth; no other list began as a member between, so they are the same list's.
    """
    shorter = without_managed_fields(text)
    try:
        return orjson.loads(shorter)
    except orjson.JSONDecodeError:
        if shorter is text:
            raise
        return orjson.loads(text)


def without_managed_fields(text: bytes) -> bytes:
    """The text without what stands between the marks; no string has one, since a backslash stands before its quotes."""
    pieces: list[bytes] = []
    copied, begin = 0, text.find(BEGIN)
    while begin >= 0:
        begin += len(BEGIN)
        end = text.find(END, begin)
        if end < 0:
            break
        if text.find(LIST, begin, end) < 0 and text.find(NEXT_OBJECT, begin, end) < 0:
            pieces.append(text[copied:begin])
            copied = end
        begin = text.find(BEGIN, end)
    if not pieces:
        return text
    return b"".join((*pieces, text[copied:]))
