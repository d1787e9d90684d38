"""Long-lived loops that no single input ends: what a turn raises is counted, logged, and followed by the next turn.

A thread that ends without a word is the worst failure of a program that observes. Its work is therefore one function,
`turn`, that a supervised loop calls again and again; health is measured by what the loop has achieved, never by a flag.
"""

import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
MOST_DOUBLINGS = 10

log = structlog.get_logger()


@dataclass(slots=True)
class Backoff:
    """The pace of a loop: each try that achieves nothing doubles the pause before the next, up to a limit.

    The caller resets it when a try has brought something, not when it merely raised no error.
    """

    first_seconds: float = FIRST_SECONDS
    longest_seconds: float = LONGEST_SECONDS
    tries: int = 0

    def next_seconds(self) -> float:
        """Return the pause before the next try: by chance between half of the present limit and the whole."""
        limit = min(self.first_seconds * 2.0 ** min(self.tries, MOST_DOUBLINGS), self.longest_seconds)
        self.tries += 1
        return random.uniform(limit / 2, limit)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Begin with the first pause again."""
        self.tries = 0


def place_of(error: BaseException) -> str:
    """Return where an error was raised, `module.py:line`; its text may hold anything and is not for logs."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "unknown"


def run_supervised(
    name: str,
    turn: Callable[[], object],
    stop: threading.Event,
    on_failure: Callable[[str], object] = lambda _name: None,
    backoff: Backoff | None = None,
) -> None:
    """Call `turn` until `stop`; after an error of any type call `on_failure` with the name, pause, and go on.

    `turn` paces itself; a turn without an error resets the pause after errors.
    """
    pace = backoff or Backoff()
    while not stop.is_set():
        try:
            turn()
        except Exception as error:  # noqa: BLE001 - the one place that keeps the loop alive
            on_failure(name)
            log.error("loop_failed", loop=name, error=type(error).__name__, place=place_of(error))  # noqa: TRY400
            stop.wait(pace.next_seconds())
        else:
            pace.reset()


def start_supervised(
    name: str,
    turn: Callable[[], object],
    stop: threading.Event,
    on_failure: Callable[[str], object] = lambda _name: None,
) -> threading.Thread:
    """Return a started daemon thread that runs `turn` until `stop`."""
    thread = threading.Thread(target=run_supervised, args=(name, turn, stop, on_failure), name=name, daemon=True)
    thread.start()
    return thread
