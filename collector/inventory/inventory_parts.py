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
class PartFile:
    """One file; `lists` are the lists it holds, of which the last is open."""

    file: BinaryIO
    bytes: int = 0
    plain_bytes: int = 0
    objects: int = 0
    lists: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Savepoint:
    """A state of the parts to go back to."""

    parts: int
    bytes: int
    plain_bytes: int
    objects: int
    lists: tuple[str, ...]


class InventoryParts:
    """Parts in a folder, of which nothing is left after `close`; they are complete only as `bodies` returns them."""

    def __init__(self, folder: Path, common: dict[str, Any], keys: list[str]) -> None:
        self.folder, self.keys = folder, keys
        self.begin = orjson.dumps(common)[:-1]
        self.parts: list[PartFile] = []
        self.key, self.pending = "", list[bytes]()
        self.pending_bytes = self.pending_objects = 0
        self.open_part()

    def open_part(self) -> PartFile:
        """A new last part."""
        # Without a name from the start: a crash leaves nothing behind.
        part = PartFile(tempfile.TemporaryFile("w+b", buffering=0, dir=self.folder))  # noqa: SIM115 - `close` closes it
        self.parts.append(part)
        self.write(part, member(self.begin), len(self.begin))
        return part

    def write(self, part: PartFile, content: bytes, plain_bytes: int) -> None:
        """Append to a part."""
        part.file.write(content)
        part.bytes += len(content)
        part.plain_bytes += plain_bytes

    def add(self, key: str, objects: bytes, count: int) -> None:
        """Append objects (JSON, commas between them) to a list, once enough of it waits to be packed together."""
        enough = self.pending_bytes + len(objects) > MEMBER_BYTES or self.pending_objects + count > MEMBER_OBJECTS
        if enough or key != self.key:
            self.pack()
        self.key = key
        self.pending.append(objects)
        self.pending_bytes += len(objects)
        self.pending_objects += count

    def room(self, key: str) -> int:
        """How many more objects of a list fit into the member that waits, or into the next one if it is full."""
        return MEMBER_OBJECTS - (self.pending_objects % MEMBER_OBJECTS if key == self.key else 0)

    def pack(self) -> None:
        """Append what waits."""
        if not self.pending:
            return
        objects, count = b",".join(self.pending), self.pending_objects
        self.clear_pending()
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

    def clear_pending(self) -> None:
        """Drop what waits to be packed."""
        self.pending, self.pending_bytes, self.pending_objects = [], 0, 0

    def savepoint(self) -> Savepoint:
        """The state now."""
        self.pack()
        part = self.parts[-1]
        return Savepoint(len(self.parts), part.bytes, part.plain_bytes, part.objects, tuple(part.lists))

    def roll_back(self, savepoint: Savepoint) -> None:
        """Remove what was added since the savepoint."""
        self.clear_pending()
        for part in self.parts[savepoint.parts :]:
            part.file.close()
        del self.parts[savepoint.parts :]
        part = self.parts[-1]
        part.file.truncate(savepoint.bytes)
        part.file.seek(0, os.SEEK_END)
        part.bytes, part.plain_bytes, part.objects = savepoint.bytes, savepoint.plain_bytes, savepoint.objects
        part.lists = list(savepoint.lists)

    def bodies(self, window: dict[str, str], head: dict[str, Any]) -> Iterator[bytes]:
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
        """Close and remove the files."""
        for part in self.parts:
            part.file.close()
