"""Measures health by progress: a loop that has not finished its turn in the expected time makes the agent not ready."""

import time
from collections.abc import Callable


class Progress:
    """When the present turn of each loop must have ended, by the monotonic clock; loops may be of different threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.due: dict[str, float] = {}

    def begin(self, loop: str, seconds: float) -> None:
        """Record that a turn begins that must end within `seconds`."""
        self.due[loop] = self.clock() + seconds

    def end(self, loop: str) -> None:
        """Record that the present turn has ended."""
        self.due.pop(loop, None)

    def stalled(self) -> str | None:
        """Return `<loop>_stalled` for the first loop whose turn is overdue; None if there is none."""
        now = self.clock()
        return next((f"{loop}_stalled" for loop, due in sorted(self.due.items()) if now > due), None)
