"""Numbers the batches of a spool, which is one sender: 1, 2, 3 and so on, across restarts.

The last number is in the file `sequence` of the spool's folder, and in the headers of the batches that wait.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta

from podsonar import atomic_file
from podsonar.batch_sequence import BatchSequence
from podsonar.private_folder import open_regular

FILE = "sequence"
FILE_BYTES = 4096

log = structlog.get_logger()


class LastNumber(msgspec.Struct, frozen=True):
    """The file: the last number of a sender, its window, the first number of that window and the window before."""

    sender: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    number: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    window: str = ""
    first: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    previous: str = ""


class SequenceFile:
    """Numbers the batches of one spool."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.last = self.read()

    def read(self) -> LastNumber:
        """What the file says; a new sender where there is no file, or none of ours."""
        try:
            with open_regular(self.path) as file:
                return msgspec.json.decode(file.read(FILE_BYTES), type=LastNumber)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return LastNumber(os.urandom(8).hex())

    def advance_to(self, waiting: BatchSequence) -> None:
        """Go on after a batch that waits: a crash may have come between it and the file."""
        if waiting.sender == self.last.sender and waiting.number > self.last.number:
            self.last = LastNumber(waiting.sender, waiting.number, "", waiting.first, waiting.previous)

    def next(self, window: str) -> tuple[BatchSequence, LastNumber]:
        """The place of the next batch, and what `save` has to keep once the batch is on disk."""
        last, number = self.last, self.last.number + 1
        same = window == last.window and last.number > 0
        first, previous = (last.first, last.previous) if same else (number, last.window)
        return BatchSequence(last.sender, number, first, previous), LastNumber(
            last.sender, number, window, first, previous
        )

    def save(self, last: LastNumber) -> None:
        """Keep the last number; on a disk that takes no file it is kept in memory, and in the waiting batch."""
        self.last = last
        try:
            atomic_file.write(self.path, msgspec.json.encode(last))
        except OSError as error:
            log.warning("sequence_not_kept", file=str(self.path), error=error.strerror)
