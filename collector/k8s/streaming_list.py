"""A list that comes in one answer of any size: its objects in groups, without holding it whole.

Where a server ignores `limit`, or where pages expire before they are read. A group of objects ends where the text from
its beginning is JSON: no piece of an object is.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson

LARGEST_OBJECT_BYTES = 8 << 20
HEAD_BYTES = 64 << 10
ITEMS = re.compile(rb',\s*"items"\s*:\s*\[\s*')
BETWEEN = re.compile(rb"\}\s*+,\s*+(?=\{)")
END = re.compile(rb"\]\s*+\}\s*+\Z")
TAIL_BYTES = 4096  # white space of a server that writes some
Group = tuple[dict[str, Any], list[dict[str, Any]]]


class MalformedAnswerError(Exception):
    """An answer with status 200 is cut short, or is no list."""


def list_head(text: bytes) -> tuple[dict[str, Any], int] | None:
    """The text before a list's objects, and the offset of the first one; None if it is not in the head."""
    begin = ITEMS.search(text, 0, HEAD_BYTES)
    if begin is None:
        return None
    try:
        head = orjson.loads(text[: begin.start()] + b"}")
    except orjson.JSONDecodeError as error:
        raise MalformedAnswerError("answer is no list") from error
    return head, begin.end()


class ObjectSplitter:
    """Takes the pieces of a list's body and gives its objects."""

    def __init__(self) -> None:
        self.buffer = b""
        self.searched = 0
        self.metadata: dict[str, Any] | None = None
        self.size = 0  # of the next text to parse: twice that of one that was only a part of an object

    def head(self) -> None:
        """Take the list's own metadata off the front, once it is there."""
        found = list_head(self.buffer)
        if found is None:
            if len(self.buffer) > HEAD_BYTES:
                raise MalformedAnswerError("answer is no list")
            return
        self.metadata = found[0].get("metadata") or {}
        self.buffer = self.buffer[found[1] :]

    def objects(self, piece: bytes) -> list[dict[str, Any]]:
        """The objects that are whole with this piece."""
        self.buffer += piece
        if self.metadata is None:
            self.head()
            if self.metadata is None:
                return []
        objects: list[dict[str, Any]] = []
        begin = 0
        while end := BETWEEN.search(self.buffer, max(self.searched, begin + self.size)):
            try:
                objects += orjson.loads(b"[%b]" % self.buffer[begin : end.start() + 1])
            except orjson.JSONDecodeError:  # between two parts of one object: many of them cost no more than a few
                self.size = 2 * (end.start() + 1 - begin)
                self.searched = end.start() + 1
                continue
            begin = self.searched = end.end()
            self.size = 0
        self.buffer = self.buffer[begin:]
        self.searched -= begin
        if len(self.buffer) > LARGEST_OBJECT_BYTES:
            raise MalformedAnswerError("an object of the list does not end")
        return objects

    def close(self) -> list[dict[str, Any]]:
        """The last objects; MalformedAnswerError where the body did not end as a list does."""
        end = END.search(self.buffer, max(0, len(self.buffer) - TAIL_BYTES)) if self.metadata is not None else None
        try:
            if end is None:
                raise MalformedAnswerError("truncated answer")
            objects: list[dict[str, Any]] = orjson.loads(b"[%b]" % self.buffer[: end.start()])
        except orjson.JSONDecodeError as error:
            raise MalformedAnswerError("truncated answer") from error
        return objects


def stream_groups(pieces: Iterator[bytes], size: int) -> Iterator[Group]:
    """The list's metadata and up to `size` objects at a time; one group without objects where there are none."""
    splitter = ObjectSplitter()
    pending: list[dict[str, Any]] = []
    for piece in pieces:
        pending += splitter.objects(piece)
        while len(pending) >= size:
            yield splitter.metadata or {}, pending[:size]
            del pending[:size]
    pending += splitter.close()
    while len(pending) > size:
        yield splitter.metadata or {}, pending[:size]
        del pending[:size]
    yield splitter.metadata or {}, pending
