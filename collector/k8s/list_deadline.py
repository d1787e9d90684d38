"""The limits of one window's lists: a deadline, a request to stop, and how long refused credentials are retried."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

UNAUTHORIZED_SECONDS = 100.0
UNREACHABLE_SECONDS = 100.0


class IncompleteError(Exception):
    """The list cannot be had; the text is the reason in the inventory."""


class StoppedError(Exception):
    """The program is asked to end: what was listed so far is void."""


@dataclass(slots=True)
class ListLimits:
    """The bounds, and the clock and the wait that they are kept with."""

    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    deadline: float = math.inf
    stopped: Callable[[], bool] = lambda: False
    unauthorized_seconds: float = UNAUTHORIZED_SECONDS
    unreachable_seconds: float = UNREACHABLE_SECONDS  # spent in vain; then nothing more is asked for

    def check(self) -> None:
        """StoppedError or IncompleteError where the list must end here."""
        if self.stopped():
            raise StoppedError
        if self.clock() >= self.deadline:
            raise IncompleteError("run limit")

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self.check()
        self.sleep(max(0.0, min(seconds, self.deadline - self.clock())))
        self.check()
