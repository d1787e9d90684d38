"""Captures on disk that wait for the directory: removed once their batch is in the spool."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from discovery.errors import InputError
from discovery.records import Capture
from node_agent import capture_file


class Waiting:
    """One file a window in `<spool>/captures`, named by the window's start so that the oldest comes first."""

    def __init__(self, spool_folder: Path) -> None:
        self.folder = spool_folder / "captures"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink()

    def put(self, capture: Capture) -> Path:
        """The file that holds the capture, on disk when this returns."""
        path = self.folder / f"{capture.window.start_ns:020d}.capture"
        unfinished = path.with_suffix(".tmp")
        capture_file.write(unfinished, capture)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path

    def paths(self) -> list[Path]:
        """Every waiting capture, oldest first."""
        return sorted(self.folder.glob("*.capture"))

    def captures(self, spoilt: Callable[[Path, InputError], None]) -> Iterator[tuple[Path, Capture]]:
        """Each readable capture with its file, oldest first; an unreadable one is set aside and told of."""
        for path in self.paths():
            try:
                yield path, capture_file.read(path)
            except InputError as error:
                path.replace(path.with_suffix(".corrupt"))
                spoilt(path, error)
