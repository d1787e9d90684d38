"""The number of a batch among all batches of its sender: a missing one shows the manager that something did not come.

The header is `Podsonar-Sequence: sender=5f0c41d29b3e8a76, number=42, first=41, previous=2026-11-29T19:00:00Z`. `first`
is the number of the first batch of the same window, `previous` the window of the batch before that one, absent where
there was none. Halves of a split batch have the number of the whole with `.0` and `.1` behind it.
"""

import re
from dataclasses import dataclass, replace

HEADER = "Podsonar-Sequence"
FORM = re.compile(
    r"sender=([0-9a-f]{16}), number=([1-9]\d{0,14})((?:\.[01]){0,16}), "
    r"first=([1-9]\d{0,14})(?:, previous=(\S{20,35}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class BatchSequence:
    """A batch's place; `part` names a half of a split batch, `previous` is a window's id, empty before the second."""

    sender: str
    number: int
    first: int
    previous: str = ""
    part: str = ""

    def half(self, which: int) -> "BatchSequence":
        """The place of a half."""
        return replace(self, part=f"{self.part}.{which}")

    def text(self) -> str:
        """The header's value."""
        previous = f", previous={self.previous}" if self.previous else ""
        return f"sender={self.sender}, number={self.number}{self.part}, first={self.first}{previous}"


def parse_sequence(text: str) -> BatchSequence | None:
    """The place in a header's value; None if it is none."""
    match = FORM.fullmatch(text)
    if match is None or int(match[4]) > int(match[2]):
        return None
    return BatchSequence(match[1], int(match[2]), int(match[4]), match[5] or "", match[3])
