"""A probe of an edge: asks the manager what its map says of the time in which the fault was in.

Agents deliver a window some time after its end. Until then the answer is not settled, and the question is asked again;
what is not settled in the probe's time, counted from the fault's end, is N/A.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaos.probes.attempt import Attempt, Outcome
from chaos.runner.kserver_client import KserverError, KserverUnavailableError
from chaos.task_action import EdgeInputs

POLL_SECONDS = 2.0
OUTCOMES: dict[str, Outcome] = {"Pass": "Passed", "Fail": "Failed"}

Ask = Callable[[EdgeInputs, float, float], dict[str, Any]]


@dataclass
class FaultTimes:
    """When a step's fault was in: seconds since 1970, None before. `ended` is its end by the monotonic clock."""

    began: float | None = None
    over: float | None = None
    ended: float = 0.0

    def begin(self, now: float) -> None:
        """The fault is in; only the first time counts."""
        self.began = now if self.began is None else self.began

    def end(self, now: float) -> None:
        """The fault is about to end; the last time counts."""
        self.over, self.ended = now, time.monotonic()


def judge_edge(ask: Ask, inputs: EdgeInputs, times: FaultTimes, seconds: float, stop: threading.Event) -> Attempt:
    """What the map says of an edge, once it is settled."""
    if times.began is None or times.over is None:
        return Attempt("N/A", "the fault was never in")
    why = "not asked in time"
    while True:
        try:
            found = ask(inputs, times.began, times.over)
        except KserverUnavailableError as error:
            why = str(error)
        except KserverError as error:
            return Attempt("Error", str(error))
        else:
            why = str(found["reason"])
            if found["settled"] and found["outcome"] in OUTCOMES:
                return Attempt(OUTCOMES[found["outcome"]], why)
            if found["outcome"] in OUTCOMES:
                why = f"not settled: {why}"
        left = times.ended + seconds - time.monotonic()
        if left <= 0 or stop.wait(min(POLL_SECONDS, left)):
            return Attempt("N/A", why)
