"""A queue of batches on disk: one file a batch, oldest first, that survives a crash at any instruction.

A file is a JSON header line (`magic`, `version`, `id`, `kind`, `created`, `events`, `crc`, `length`) and the gzipped
body; its name sorts by a sequence number of ours, never by a clock.
"""

import contextlib
import fcntl
import os
import re
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from delivery.batch import BATCH_ID, Batch
from podsonar import atomic_file
from podsonar.errors import SpoolError

MAGIC, VERSION = "podsonar-batch", 1
CORRUPT_KEPT, REJECTED_KEPT = 10, 20
FILE_NAME = re.compile(r"\d{12,}-(.+)\.batch")
HEADER = {"id": str, "kind": str, "created": int, "crc": int, "length": int}
OnDropped = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much may wait, and how long."""

    max_bytes: int = 256 << 20
    max_files: int = 10_000
    max_age_seconds: int = 24 * 3600


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What waits now; `oldest_ns` is when the oldest batch was made, None where none waits."""

    batches: int
    bytes: int
    oldest_ns: int | None = None
    events: int = 0


def ignore_dropped(_reason: str, _batch_id: str, _events: int) -> None:
    """Tell nobody of a dropped batch."""


class Spool:
    """The queue in one folder, owned by one process at a time; `dropped(reason, id, events)` hears of each loss."""

    def __init__(self, folder: Path, limits: SpoolLimits | None = None, on_dropped: OnDropped = ignore_dropped) -> None:
        self.folder = folder
        self.limits = limits or SpoolLimits()
        self.on_dropped = on_dropped
        self.headers: dict[str, dict[str, Any]] = {}
        self.lock = lock_folder(folder)
        self.wakeup = threading.Event()  # set when a batch comes; whoever sends them waits for it
        for leftover in folder.glob("*.tmp"):
            leftover.unlink()
        last = [path.name.split("-", 1)[0] for path in self.paths()]
        self.sequence = int(last[-1]) if last else 0

    def close(self) -> None:
        """Let another process own the folder."""
        os.close(self.lock)

    def paths(self) -> list[Path]:
        """Every waiting batch's file, oldest first."""
        return sorted(
            path for path in self.folder.glob("*.batch") if FILE_NAME.fullmatch(path.name) and not path.is_symlink()
        )

    def sizes(self) -> dict[Path, int]:
        """Bytes of every waiting batch's file; one that is sent meanwhile may be there or not."""
        found = {}
        for path in self.paths():
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_size
        return found

    def paths_of(self, batch_id: str) -> list[Path]:
        """The waiting file of exactly that batch."""
        return [path for path in self.paths() if path.stem.split("-", 1)[1] == batch_id]

    def put(self, batch: Batch) -> None:
        """Keep a batch; it is on disk when this returns. The oldest make room where the spool is full."""
        if not BATCH_ID.fullmatch(batch.id):
            raise SpoolError(f"batch id {batch.id[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 . _ -")
        self.make_room(len(batch.payload))
        header = {
            "magic": MAGIC,
            "version": VERSION,
            "id": batch.id,
            "kind": batch.kind,
            "created": batch.created_ns,
            "events": batch.events,
            "crc": zlib.crc32(batch.payload),
            "length": len(batch.payload),
        }
        self.sequence += 1
        name = f"{self.sequence:012d}-{batch.id}.batch"
        try:
            atomic_file.write(self.folder / name, orjson.dumps(header) + b"\n" + batch.payload)
        except OSError as error:
            raise SpoolError(f"spool folder {str(self.folder)!r}: {error.strerror} while writing {name}") from error
        self.wakeup.set()

    def make_room(self, wanted_bytes: int) -> None:
        """Drop the oldest connections, then the oldest of anything, until a batch of that size fits."""
        sizes = self.sizes()
        total, count = sum(sizes.values()), len(sizes)
        for path in sorted(sizes, key=lambda path: (not path.name.split("-", 1)[1].startswith("c-"), path.name)):
            if total + wanted_bytes <= self.limits.max_bytes and count < self.limits.max_files:
                return
            total -= sizes[path]
            count -= 1
            if path.exists():  # else it was sent meanwhile
                self.notify_dropped("full", path)
                path.unlink(missing_ok=True)

    def oldest(self) -> Batch | None:
        """The batch to send next; unreadable files are set aside."""
        for path in self.paths():
            batch = read_batch(path)
            if batch is not None:
                return batch
            self.set_aside(path, "corrupt", CORRUPT_KEPT)
        return None

    def delete(self, batch_id: str) -> None:
        """Forget a batch that the manager has stored."""
        for path in self.paths_of(batch_id):
            path.unlink()

    def quarantine(self, batch_id: str) -> None:
        """Set a batch aside that the manager refuses for good."""
        for path in self.paths_of(batch_id):
            self.set_aside(path, "rejected", REJECTED_KEPT)

    def set_aside(self, path: Path, reason: str, keep: int) -> None:
        """Move a file to the folder named by the reason, which keeps the newest few."""
        folder = self.folder / reason
        folder.mkdir(mode=0o700, exist_ok=True)
        self.notify_dropped(reason, path)
        path.replace(folder / path.name)
        for surplus in sorted(folder.iterdir())[:-keep]:
            surplus.unlink()

    def expire(self, now_ns: int) -> None:
        """Drop batches that are older than the age limit."""
        for path in self.paths():
            header = read_header(path)
            if header and now_ns - header["created"] > self.limits.max_age_seconds * 1_000_000_000:
                self.notify_dropped("expired", path)
                path.unlink()

    def notify_dropped(self, reason: str, path: Path) -> None:
        """Tell of a batch that will not be delivered."""
        header = self.headers.get(path.name) or read_header(path) or {}
        self.on_dropped(reason, path.stem.split("-", 1)[1], header.get("events", 0))

    def stats(self) -> SpoolStats:
        """How much waits."""
        sizes = self.sizes()
        self.headers = {path.name: self.headers.get(path.name) or read_header(path) or {} for path in sizes}
        headers = list(self.headers.values())
        made = [header["created"] for header in headers if header]
        events = sum(header.get("events", 0) for header in headers)
        return SpoolStats(len(sizes), sum(sizes.values()), min(made, default=None), events)


def lock_folder(folder: Path) -> int:
    """A lock on the folder; SpoolError where it cannot be used or another process has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SpoolError(f"spool folder {str(folder)!r}: {error.strerror}; expected a folder to write to") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolError(f"spool folder {str(folder)!r} belongs to another running process") from error
    return descriptor


def read_header(path: Path) -> dict[str, Any] | None:
    """A spool file's header, or None where it has none of ours."""
    try:
        with path.open("rb") as file:
            header = orjson.loads(file.readline(4096))
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        return None
    return header if all(isinstance(header.get(key), kind) for key, kind in HEADER.items()) else None


def read_batch(path: Path) -> Batch | None:
    """The batch in a file, or None where its header, length or checksum is wrong."""
    header = read_header(path)
    if header is None or header.get("version") != VERSION:
        return None
    try:
        payload = path.read_bytes().split(b"\n", 1)[1]
    except (OSError, IndexError):
        return None
    if len(payload) != header["length"] or zlib.crc32(payload) != header["crc"]:
        return None
    return Batch(header["id"], header["kind"], header["created"], payload, header.get("events", 0))
