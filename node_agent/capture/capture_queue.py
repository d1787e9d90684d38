"""Captures on disk that wait for the directory: removed once their batch is in the spool.

While the disk takes nothing they are held in memory, up to 32 MiB, and written as soon as it does.
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
    """How many attempts a capture's file holds, by its name."""
    match = FILE_NAME.fullmatch(path.stem)
    return int(match[1]) if match else 0


class CaptureQueue:
    """One file a window in `<spool>/captures`, `<start>-<number>-<attempts>.capture`, so that the oldest comes first.

    `dropped(reason, attempts)` hears of every capture that will not be delivered.
    """

    def __init__(
        self, spool_folder: Path, on_dropped: Callable[[str, int], None] = lambda _reason, _attempts: None
    ) -> None:
        self.folder = spool_folder / "captures"
        self.on_dropped = on_dropped
        self.unwritten: list[UnwrittenCapture] = []
        self.lock = threading.Lock()
        self.wakeup = threading.Event()  # set when a capture comes; whoever resolves them waits for it
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink()

    def put(self, capture: Capture) -> None:
        """Keep a capture: on disk when this returns, or in memory where the disk takes nothing."""
        attempts = sum(flow.attempts for flow in capture.flows)
        held = UnwrittenCapture(capture.window.start_ns, attempts, capture_file.encode(capture))
        with self.lock:
            self.unwritten.append(held)
        self.write_unwritten()
        with self.lock:
            while sum(len(one.packed) for one in self.unwritten) > MEMORY_BYTES:
                self.on_dropped("io_error", self.unwritten.pop(0).attempts)
        self.wakeup.set()

    def write_unwritten(self) -> None:
        """Write what is held in memory, as far as the disk takes it."""
        with self.lock:
            while self.unwritten:
                try:
                    self.write(self.unwritten[0])
                except OSError as error:
                    log.warning("capture_not_written", folder=str(self.folder), error=error.strerror)
                    return
                del self.unwritten[0]

    def write(self, held: UnwrittenCapture) -> None:
        """The capture's file is on disk, whole, when this returns; an earlier one of the same window stays."""
        number = len(list(self.folder.glob(f"{held.start_ns:020d}-*")))
        atomic_file.write(self.folder / f"{held.start_ns:020d}-{number:03d}-{held.attempts}.capture", held.packed)

    def paths(self) -> list[Path]:
        """Every waiting capture's file, oldest first."""
        return sorted(self.folder.glob("*.capture"))

    def pending(self) -> int:
        """Attempts that wait, on disk and in memory."""
        return sum(map(attempts_of, self.paths())) + sum(one.attempts for one in list(self.unwritten))

    def captures(self) -> Iterator[tuple[Path, Capture]]:
        """Each readable capture with its file, oldest first; an unreadable one is set aside and told of."""
        for path in self.paths():
            try:
                yield path, capture_file.read(path)
            except InputError as error:
                path.replace(path.with_suffix(".corrupt"))
                log.warning("capture_corrupt", file=str(path), error=str(error))
                self.on_dropped("corrupt", attempts_of(path))
