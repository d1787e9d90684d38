"""Keeps captures on disk until the directory has resolved them and their batch is in the spool.

While the disk accepts no writes, captures are kept in memory, up to 32 MiB, and written as soon as it does.
"""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import structlog

from node_agent.capture import capture_file
from podsonar import atomic_file
from podsonar.errors import InputError
from podsonar.model import Capture

MEMORY_BYTES = 32 << 20
FILE_NAME = re.compile(r"\d+-\d+-(\d+)")

log = structlog.get_logger()


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
        self, spool_folder: Path, on_dropped: Callable[[str, int], None] = lambda _reason, _attempts: None
    ) -> None:
        self.folder = spool_folder / "captures"
        self.on_dropped = on_dropped
        self.unwritten: list[UnwrittenCapture] = []
        self.lock = threading.Lock()
        self.wakeup = threading.Event()  # set when a capture is added; the resolving thread waits for it
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink()

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
        number = len(list(self.folder.glob(f"{entry.start_ns:020d}-*")))
        atomic_file.write(self.folder / f"{entry.start_ns:020d}-{number:03d}-{entry.attempts}.capture", entry.packed)

    def paths(self) -> list[Path]:
        """Return the files in the queue, oldest first."""
        return sorted(self.folder.glob("*.capture"))

    def pending(self) -> int:
        """Return the number of attempts in the queue, on disk and in memory."""
        return sum(map(attempts_of, self.paths())) + sum(entry.attempts for entry in list(self.unwritten))

    def captures(self) -> Iterator[tuple[Path, Capture]]:
        """Yield each readable capture with its file, oldest first; an unreadable one is renamed and counted."""
        for path in self.paths():
            try:
                yield path, capture_file.read(path)
            except InputError as error:
                log.warning("capture_corrupt", file=str(path), error=str(error))
                self.set_aside(path)

    def set_aside(self, path: Path) -> None:
        """Rename a capture that cannot be read or resolved to `.corrupt`, and count its attempts as dropped."""
        path.replace(path.with_suffix(".corrupt"))
        self.on_dropped("corrupt", attempts_of(path))
