"""Keeps captures on disk until the directory has resolved them and their batch is in the spool.

While the disk accepts no writes, captures are kept in memory, up to 32 MiB, and written as soon as it does. On disk the
oldest go first where there are more than the limits allow.
"""

import errno
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from node_agent.capture.files import capture_file
from podsonar import atomic_file
from podsonar.errors import InputError
from podsonar.model import Capture
from podsonar.private_folder import lacking_bytes, make_private, open_regular, regular_files, remove_unfinished

MEMORY_BYTES = 32 << 20
CORRUPT_KEPT = 10
FILE_NAME = re.compile(r"\d+-\d+-(\d{1,18})")

log = structlog.get_logger()


class QueueLimits(NamedTuple):
    """How much may wait on disk, and how long: half of what batches may take."""

    max_bytes: int = 128 << 20
    max_files: int = 10_000
    max_age_seconds: int = 24 * 3600


class UnwrittenCapture(NamedTuple):
    """A capture that could not be written yet."""

    start_ns: int
    attempts: int
    packed: bytes


def attempts_of(path: Path) -> int:
    """Return the number of attempts in a capture file, from its name; 0 for another name."""
    match = FILE_NAME.fullmatch(path.stem)
    return int(match[1]) if match else 0


class CaptureQueue:
    """One file per window in `<spool>/captures`, `<start>-<number>-<attempts>.capture`; sorted by name, oldest first.

    `on_dropped(reason, attempts)` is called for every capture that will not be delivered.
    """

    def __init__(
        self,
        spool_folder: Path,
        on_dropped: Callable[[str, int], None] = lambda _reason, _attempts: None,
        limits: QueueLimits | None = None,
    ) -> None:
        self.folder = spool_folder / "captures"
        self.on_dropped = on_dropped
        self.limits = limits or QueueLimits()
        self.in_flight: Path | None = None  # the capture that is being resolved: it makes no room for others meanwhile
        self.unwritten: list[UnwrittenCapture] = []
        self.lock = threading.Lock()
        self.wakeup = threading.Event()  # set when a capture is added; the resolving thread waits for it
        make_private(self.folder)
        remove_unfinished(self.folder)

    def put(self, capture: Capture) -> None:
        """Store a capture on disk, or in memory while the disk accepts no writes."""
        attempts = sum(flow.attempts for flow in capture.flows)
        entry = UnwrittenCapture(capture.window.start_ns, attempts, capture_file.encode(capture))
        with self.lock:
            self.unwritten.append(entry)
        self.write_unwritten()
        with self.lock:
            while sum(len(entry.packed) for entry in self.unwritten) > MEMORY_BYTES:
                self.on_dropped("io_error", self.unwritten.pop(0).attempts)
        self.wakeup.set()

    def write_unwritten(self) -> None:
        """Write captures from memory to disk, oldest first, until a write fails."""
        with self.lock:
            while self.unwritten:
                try:
                    self.write(self.unwritten[0])
                except OSError as error:
                    log.warning("capture_not_written", folder=str(self.folder), error=error.strerror)
                    return
                del self.unwritten[0]

    def write(self, entry: UnwrittenCapture) -> None:
        """Write a capture file atomically; an earlier file of the same window stays."""
        self.make_room(len(entry.packed))
        number = len(list(self.folder.glob(f"{entry.start_ns:020d}-*")))
        atomic_file.write(self.folder / f"{entry.start_ns:020d}-{number:03d}-{entry.attempts}.capture", entry.packed)

    def make_room(self, wanted_bytes: int) -> None:
        """Drop captures that are too old, then the oldest, until one of that size fits.

        If dropping all of them would not be enough, as on a disk that others filled, none of them is dropped for room,
        and the error is OSError(ENOSPC).
        """
        self.expire(time.time_ns())
        files = [(self.folder / name, size) for name, size in regular_files(self.folder, ".capture")]
        lacking = max(
            sum(size for _path, size in files) + wanted_bytes - self.limits.max_bytes,
            lacking_bytes(self.folder, wanted_bytes),
        )
        surplus = len(files) + 1 - self.limits.max_files
        victims = []
        for path, size in files:
            if lacking <= 0 and surplus <= 0:
                break
            if path != self.in_flight:
                victims.append(path)
                lacking, surplus = lacking - size, surplus - 1
        if lacking > 0:
            raise OSError(errno.ENOSPC, "too little space is free", str(self.folder))
        for path in victims:
            self.drop(path, "full")

    def expire(self, now_ns: int) -> None:
        """Drop captures that were written longer ago than the age limit."""
        for path in self.paths():
            old = now_ns - path.stat().st_mtime_ns > self.limits.max_age_seconds * 1_000_000_000
            if old and path != self.in_flight:
                self.drop(path, "expired")

    def drop(self, path: Path, reason: str) -> None:
        """Remove a capture that will not be delivered, and count its attempts."""
        path.unlink()
        log.warning("capture_dropped", file=path.name, reason=reason)
        self.on_dropped(reason, attempts_of(path))

    def paths(self) -> list[Path]:
        """Return the files in the queue, oldest first; none while the folder is gone."""
        try:
            return [self.folder / name for name, _size in regular_files(self.folder, ".capture")]
        except FileNotFoundError:
            return []

    def pending(self) -> int:
        """Return the number of attempts in the queue, on disk and in memory."""
        return sum(map(attempts_of, self.paths())) + sum(entry.attempts for entry in list(self.unwritten))

    def captures(self) -> Iterator[tuple[Path, Capture]]:
        """Yield each readable capture with its file, oldest first; an unreadable one is renamed and counted."""
        try:
            for path in self.paths():
                self.in_flight = path
                try:
                    capture = self.read(path)
                except FileNotFoundError:
                    continue  # it made room for a newer one, and was counted
                except InputError as error:
                    log.warning("capture_corrupt", file=str(path), error=str(error))
                    self.set_aside(path)
                else:
                    yield path, capture
        finally:
            self.in_flight = None

    @staticmethod
    def read(path: Path) -> Capture:
        """Return the capture in a file; InputError if it holds none, OSError if it cannot be read at this moment."""
        try:
            with open_regular(path) as file:
                packed = file.read()
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise InputError(f"capture file {str(path)!r}: {error.strerror}") from error
            raise
        return capture_file.decode(packed, str(path))

    def set_aside(self, path: Path) -> None:
        """Rename a capture that cannot be read or resolved to `.corrupt`, and count its attempts as dropped."""
        path.replace(path.with_suffix(".corrupt"))
        self.on_dropped("corrupt", attempts_of(path))
        for name, _size in regular_files(self.folder, ".corrupt")[:-CORRUPT_KEPT]:
            (self.folder / name).unlink(missing_ok=True)
