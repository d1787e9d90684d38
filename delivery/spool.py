"""A queue of batches on disk: one file per batch, oldest first, that survives a crash at any instruction.

File names sort by a sequence number of the spool's own, never by a clock; `delivery.spool_file` is their format. The
index in memory is read from the folder once: its lock makes this process the only one that adds or removes batches.
"""

import contextlib
import errno
import fcntl
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from delivery import spool_file
from delivery.batch import BATCH_ID, Batch
from delivery.sequence import SequenceFile
from podsonar import atomic_file
from podsonar.batch_sequence import BatchSequence, parse_sequence
from podsonar.errors import SpoolError
from podsonar.private_folder import lacking_bytes, make_private, regular_files, remove_unfinished

CORRUPT_KEPT, REJECTED_KEPT = 10, 20
SET_ASIDE_BYTES = 20 << 20
FILE_NAME = re.compile(r"(\d{12,18})-(.+)\.batch")
OnDropped = Callable[[str, str, int], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much may wait, and how long."""

    max_bytes: int = 256 << 20
    max_files: int = 10_000
    max_age_seconds: int = 24 * 3600


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """The waiting batches; `oldest_ns` is the creation time of the oldest one, None if none waits."""

    batches: int
    bytes: int
    oldest_ns: int | None = None
    events: int = 0


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A waiting batch's file: its name, its batch id, its size, and the fields of its header."""

    name: str
    batch_id: str
    size: int
    created_ns: int | None
    events: int
    place: BatchSequence | None = None


def ignore_dropped(_reason: str, _batch_id: str, _events: int) -> None:
    """Ignore a dropped batch."""


class Spool:
    """The queue in one folder, owned by one process at a time; `on_dropped(reason, id, events)` gets each loss.

    One thread may put batches while another one sends them.
    """

    def __init__(self, folder: Path, limits: SpoolLimits | None = None, on_dropped: OnDropped = ignore_dropped) -> None:
        self.folder = folder
        self.limits = limits or SpoolLimits()
        self.on_dropped = on_dropped
        self.lock = lock_folder(folder)
        self.wakeup = threading.Event()  # set when a batch comes; the sender waits for it
        self.writing = threading.Lock()  # one writer at a time: batches enter the index in the order of their names
        self.in_flight: str | None = None  # the batch id that is being sent: it makes no room for others meanwhile
        remove_unfinished(folder)
        found = [read_entry(folder, name, size) for name, size in regular_files(folder, ".batch")]
        self.entries = {entry.name: entry for entry in found if entry is not None}
        self.sequence = max((int(name.split("-", 1)[0]) for name in self.entries), default=0)
        self.numbers = SequenceFile(folder)
        for place in (entry.place for entry in self.entries.values() if entry.place is not None):
            self.numbers.advance_to(place)

    def close(self) -> None:
        """Let another process own the folder."""
        os.close(self.lock)

    def waiting(self) -> list[SpoolEntry]:
        """Every waiting batch, oldest first."""
        return list(self.entries.values())

    def paths(self) -> list[Path]:
        """Every waiting batch's file, oldest first."""
        return [self.folder / name for name in list(self.entries)]

    def entries_of(self, batch_id: str) -> list[SpoolEntry]:
        """The waiting files of exactly that batch: one, or two after a crash between the halves of a split."""
        return [entry for entry in self.waiting() if entry.batch_id == batch_id]

    def paths_of(self, batch_id: str) -> list[Path]:
        """The paths of the waiting files of exactly that batch."""
        return [self.folder / entry.name for entry in self.entries_of(batch_id)]

    def put(self, batch: Batch) -> None:
        """Add a batch, which is on disk when this returns; the oldest make room where the spool is full.

        A batch that is larger than the whole spool is dropped itself; its number is missing at the manager then.
        SpoolError if the disk takes no file: the next batch has the number of this one.
        """
        if not BATCH_ID.fullmatch(batch.id):
            raise SpoolError(f"batch id {batch.id[:80]!r}, expected 1 to 64 of A-Z a-z 0-9 . _ -")
        with self.writing:
            place, last = (batch.sequence, None) if batch.sequence else self.numbers.next(batch.window)
            entry = self.write(replace(batch, sequence=place))
            if last is not None:
                self.numbers.save(last)
            if entry is not None:  # not sent before its number is kept: a crash would give the number away again
                self.entries[entry.name] = entry
        self.wakeup.set()

    def write(self, batch: Batch) -> SpoolEntry | None:
        """Write a numbered batch's file; None if it is dropped."""
        content = spool_file.encode(batch)
        if len(content) > self.limits.max_bytes:
            log.error("batch_larger_than_spool", batch=batch.id, size=len(content), limit=self.limits.max_bytes)
            self.on_dropped("too_large", batch.id, batch.events)
            return None
        try:
            self.make_room(len(content))
            self.sequence += 1
            name = f"{self.sequence:012d}-{batch.id}.batch"
            atomic_file.write(self.folder / name, content)
        except OSError as error:
            raise SpoolError(
                f"spool folder {str(self.folder)!r}: {error.strerror} while writing batch {batch.id}"
            ) from error
        return SpoolEntry(name, batch.id, len(content), batch.created_ns, batch.events, batch.sequence)

    def make_room(self, wanted_bytes: int) -> None:
        """Drop the oldest connections, then the oldest of anything, until a batch of that size fits.

        If dropping all of them would not be enough, as on a disk that others filled, nothing is dropped and the error
        is OSError(ENOSPC).
        """
        entries = self.waiting()
        lacking = max(
            sum(entry.size for entry in entries) + wanted_bytes - self.limits.max_bytes,
            lacking_bytes(self.folder, wanted_bytes),
        )
        surplus = len(entries) + 1 - self.limits.max_files
        victims = []
        for entry in sorted(entries, key=lambda entry: (not entry.batch_id.startswith("c-"), entry.name)):
            if lacking <= 0 and surplus <= 0:
                break
            if entry.batch_id == self.in_flight:
                continue
            victims.append(entry)
            lacking -= entry.size
            surplus -= 1
        if lacking > 0:
            raise OSError(errno.ENOSPC, "too little space is free", str(self.folder))
        for entry in victims:
            self.drop(entry, "full")

    def oldest(self) -> Batch | None:
        """The batch to send next; damaged files are set aside. OSError if a file cannot be read at this moment."""
        for entry in self.waiting():
            batch = None
            try:
                batch = spool_file.read_batch(self.folder / entry.name)
            except FileNotFoundError:
                pass  # another program removed it: as lost as a damaged one
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
            if batch is not None and batch.id == entry.batch_id:
                return batch
            self.set_aside(entry, "corrupt", CORRUPT_KEPT)
        return None

    def delete(self, batch_id: str) -> None:
        """Remove a batch that the manager has stored."""
        for entry in self.entries_of(batch_id):
            (self.folder / entry.name).unlink(missing_ok=True)
            self.entries.pop(entry.name, None)

    def quarantine(self, batch_id: str) -> None:
        """Set a batch aside that the manager refuses for good."""
        for entry in self.entries_of(batch_id):
            self.set_aside(entry, "rejected", REJECTED_KEPT)

    def postpone(self, batch_id: str) -> None:
        """Move a batch behind all others: its file gets the next sequence number."""
        with self.writing:
            for entry in self.entries_of(batch_id):
                self.sequence += 1
                name = f"{self.sequence:012d}-{batch_id}.batch"
                (self.folder / entry.name).rename(self.folder / name)
                self.entries.pop(entry.name, None)
                self.entries[name] = replace(entry, name=name)

    def drop(self, entry: SpoolEntry, reason: str) -> None:
        """Remove a batch that will not be delivered, unless it was sent meanwhile."""
        if self.entries.pop(entry.name, None) is not None:
            (self.folder / entry.name).unlink(missing_ok=True)
            self.on_dropped(reason, entry.batch_id, entry.events)

    def set_aside(self, entry: SpoolEntry, reason: str, most_files: int) -> None:
        """Move a file to the folder named by the reason, which keeps the newest few of at most 20 MiB.

        If that folder cannot be used, or is a link to another place, the file is removed.
        """
        folder, path = self.folder / reason, self.folder / entry.name
        try:
            make_private(folder)
            path.replace(folder / entry.name)
            prune(folder, most_files)
        except OSError as error:
            log.warning("batch_not_set_aside", batch=entry.batch_id, folder=str(folder), error=error.strerror)
        self.drop(entry, reason)

    def expire(self, now_ns: int) -> None:
        """Drop batches that are older than the age limit."""
        for entry in self.waiting():
            if entry.created_ns is not None and now_ns - entry.created_ns > self.limits.max_age_seconds * 1_000_000_000:
                self.drop(entry, "expired")

    def stats(self) -> SpoolStats:
        """How much waits."""
        entries = self.waiting()
        oldest_ns = min((entry.created_ns for entry in entries if entry.created_ns is not None), default=None)
        return SpoolStats(
            len(entries), sum(entry.size for entry in entries), oldest_ns, sum(entry.events for entry in entries)
        )


def read_entry(folder: Path, name: str, size: int) -> SpoolEntry | None:
    """The index entry of a file; None for a name that is not of the spool."""
    match = FILE_NAME.fullmatch(name)
    if match is None:
        return None
    header = spool_file.read_header(folder / name)
    if header is None:
        return SpoolEntry(name, match[2], size, None, 0)
    return SpoolEntry(name, match[2], size, header.created, header.events, parse_sequence(header.sequence))


def prune(folder: Path, most_files: int) -> None:
    """Remove all but the newest files of a folder."""
    kept = kept_bytes = 0
    for name, size in reversed(regular_files(folder, "")):
        kept, kept_bytes = kept + 1, kept_bytes + size
        if kept > most_files or (kept_bytes > SET_ASIDE_BYTES and kept > 1):
            with contextlib.suppress(FileNotFoundError):
                (folder / name).unlink()


def lock_folder(folder: Path) -> int:
    """A lock on the folder; SpoolError if it cannot be used or another process has it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(folder.resolve())
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"spool folder {str(folder)!r}: {error.strerror}; expected a folder to write to") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SpoolError(f"spool folder {str(folder)!r} belongs to another running process") from error
    return descriptor
