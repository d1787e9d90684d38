"""The format of a batch's file in the spool: every byte is under a checksum.

`podsonar-batch 2 <crc32 in hex>` on the first line, then what it is the checksum of: a JSON header line (`id`, `kind`,
`created`, `events`, `sequence`) and the gzipped body. Version 1, whose checksum covered the body alone, is still read.
"""

import re
import zlib
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta

from delivery.batch import BATCH_ID, Batch, Kind
from podsonar.batch_sequence import parse_sequence
from podsonar.private_folder import open_regular

MAGIC, VERSION = "podsonar-batch", 2
FIRST_LINE = re.compile(rb"podsonar-batch 2 ([0-9a-f]{8})\n")
HEAD_BYTES = 4096

Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class Header(msgspec.Struct, frozen=True):
    """The header of a batch's file."""

    id: str
    kind: Kind
    created: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    events: Count = 0
    sequence: str = ""


class OldHeader(Header, frozen=True, kw_only=True):
    """The first line of version 1."""

    magic: str
    version: int
    crc: int
    length: int


def encode(batch: Batch) -> bytes:
    """The bytes of a batch's file."""
    header = {"id": batch.id, "kind": batch.kind, "created": batch.created_ns, "events": batch.events}
    if batch.sequence is not None:
        header["sequence"] = batch.sequence.text()
    covered = orjson.dumps(header) + b"\n" + batch.payload
    return f"{MAGIC} {VERSION} {zlib.crc32(covered):08x}\n".encode() + covered


def decode(content: bytes) -> Batch | None:
    """The batch in a file's bytes, or None where a byte of them is wrong."""
    if match := FIRST_LINE.match(content):
        covered = memoryview(content)[match.end() :]
        if zlib.crc32(covered) != int(match[1], 16):
            return None
        return parse(content, match.end(), Header)
    return parse(content, 0, OldHeader)


def parse(content: bytes, start: int, form: type[Header]) -> Batch | None:
    """The batch of a header line that begins at `start` and of the payload behind it."""
    end = content.find(b"\n", start, start + HEAD_BYTES)
    try:
        header = msgspec.json.decode(content[start : max(end, start)], type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    payload = content[end + 1 :]
    if isinstance(header, OldHeader) and (header.magic, header.version, header.length, header.crc) != (
        MAGIC,
        1,
        len(payload),
        zlib.crc32(payload),
    ):
        return None
    if not BATCH_ID.fullmatch(header.id):
        return None
    return Batch(header.id, header.kind, header.created, payload, header.events, "", parse_sequence(header.sequence))


def read_batch(path: Path) -> Batch | None:
    """The batch in a file; None if it holds none, OSError if the file cannot be read."""
    with open_regular(path) as file:
        return decode(file.read())


def read_header(path: Path) -> Header | None:
    """The header of a file, not verified by its checksum; None if there is none or the file cannot be read."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    match = FIRST_LINE.match(head)
    line = head[match.end() if match else 0 :].split(b"\n", 1)[0]
    try:
        return msgspec.json.decode(line, type=Header if match else OldHeader)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
