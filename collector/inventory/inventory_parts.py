"""The parts of an inventory while it is listed: files that only grow, and that nobody sends before the end.

How many parts there are and which kinds are complete is known at the end alone, so each body ends with its head. A file
holds gzip members that together are one body (RFC 1952 allows several members in a file): what was listed is compressed
once, and a kind that must be listed again is cut off at a member's boundary.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from isal import igzip_lib

PART_BYTES = 4 << 20
TAIL_BYTES = 64 << 10  # room for the head and the lists that are empty
PART_PLAIN_BYTES = 8 << 20  # the manager takes 32 MiB, and parses a part whole
PART_OBJECTS = 2000
MEMBER_BYTES, MEMBER_OBJECTS = 512 << 10, 500  # of JSON; gzip learns each member anew: 200 KiB pack to a sixth more


def member(content: bytes) -> bytes:
    """One gzip member; equal content gives equal bytes."""
    return igzip_lib.compress(content, 2, igzip_lib.COMP_GZIP)


@dataclass(slots=True)
class Part:
    """One file; `lists` are the lists it holds, of which the last is open."""

    file: BinaryIO
    bytes: int = 0
    plain_bytes: int = 0
    objects: int = 0
    lists: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mark:
    """A state of the parts to go back to."""

    parts: int
    bytes: int
    plain_bytes: int
    objects: int
    lists: tuple[str, ...]


class Parts:
    """Parts in a folder, of which nothing is left after `close`; they are bodies only once `finished` gives them."""

    def __init__(self, folder: Path, common: dict[str, Any], keys: list[str]) -> None:
        self.folder, self.keys = folder, keys
        self.begin = orjson.dumps(common)[:-1]
        self.parts: list[Part] = []
        self.key, self.waiting = "", list[bytes]()
        self.waiting_bytes = self.waiting_objects = 0
        self.open_part()

    def open_part(self) -> Part:
        """A new last part."""
        # Without a name from the start: a crash leaves nothing behind.
        part = Part(tempfile.TemporaryFile("w+b", buffering=0, dir=self.folder))  # noqa: SIM115 - `close` closes it
        self.parts.append(part)
        self.write(part, member(self.begin), len(self.begin))
        return part

    def write(self, part: Part, content: bytes, plain_bytes: int) -> None:
        """Append to a part."""
        part.file.write(content)
        part.bytes += len(content)
        part.plain_bytes += plain_bytes

    def add(self, key: str, objects: bytes, count: int) -> None:
        """Append objects (JSON, commas between them) to a list, once enough of it wait to be packed together."""
        much = self.waiting_bytes + len(objects) > MEMBER_BYTES or self.waiting_objects + count > MEMBER_OBJECTS
        if much or key != self.key:
            self.pack()
        self.key = key
        self.waiting.append(objects)
        self.waiting_bytes += len(objects)
        self.waiting_objects += count

    def pack(self) -> None:
        """Append what waits."""
        if not self.waiting:
            return
        objects, count = b",".join(self.waiting), self.waiting_objects
        self.let_go()
        packed = member(objects)
        part = self.parts[-1]
        full = (
            part.bytes + len(packed) > PART_BYTES - TAIL_BYTES
            or part.plain_bytes + len(objects) > PART_PLAIN_BYTES
            or part.objects + count > PART_OBJECTS
        )
        if full and part.objects:
            part = self.open_part()
        if self.key in part.lists:
            opening = b","
        else:
            opening = (b"]" if part.lists else b"") + b',"' + self.key.encode() + b'":['
            part.lists.append(self.key)
        self.write(part, member(opening), len(opening))
        self.write(part, packed, len(objects))
        part.objects += count

    def let_go(self) -> None:
        """Nothing waits."""
        self.waiting, self.waiting_bytes, self.waiting_objects = [], 0, 0

    def mark(self) -> Mark:
        """The state now."""
        self.pack()
        part = self.parts[-1]
        return Mark(len(self.parts), part.bytes, part.plain_bytes, part.objects, tuple(part.lists))

    def go_back(self, mark: Mark) -> None:
        """What was added since the mark was never there."""
        self.let_go()
        for part in self.parts[mark.parts :]:
            part.file.close()
        del self.parts[mark.parts :]
        part = self.parts[-1]
        part.file.truncate(mark.bytes)
        part.file.seek(0, os.SEEK_END)
        part.bytes, part.plain_bytes, part.objects = mark.bytes, mark.plain_bytes, mark.objects
        part.lists = list(mark.lists)

    def finished(self, window: dict[str, str], head: dict[str, Any]) -> Iterator[bytes]:
        """The gzipped bodies, each with the head and its number."""
        self.pack()
        for number, part in enumerate(self.parts, start=1):
            closing = b"]" if part.lists else b""
            empty = b"".join(b',"' + key.encode() + b'":[]' for key in self.keys if key not in part.lists)
            inventory = {**head, "part": number, "parts": len(self.parts)}
            rest = b"," + orjson.dumps({"window": window, "inventory": inventory})[1:]
            part.file.seek(0)
            yield part.file.read() + member(closing + empty + rest)

    def close(self) -> None:
        """Let go of the files."""
        for part in self.parts:
            part.file.close()
