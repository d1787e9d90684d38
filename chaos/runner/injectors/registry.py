"""The injectors of a run as its runner knows them: where each is, and what it is told next. Thread-safe, no IO."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Literal

SILENT_SECONDS = 5.0  # an injector without an answer for so long has ended its fault; so has one that says nothing
State = Literal["new", "ready", "held", "released", "failed"]
STATES: tuple[State, ...] = ("new", "ready", "held", "released", "failed")
OVER = frozenset({"released", "failed"})
MESSAGE_CHARACTERS = 500


@dataclass
class Injector:
    """One injector; `heard` is the monotonic time of its last report."""

    id: str
    token: str = field(repr=False)
    state: State = "new"
    command: Literal["wait", "inject", "release"] = "wait"
    message: str = ""
    by: str = ""
    counters: dict[str, float] = field(default_factory=dict)
    heard: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it has said that it holds no fault and never will."""
        return self.state in OVER


class Injectors:
    """All injectors of a run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.changed = clock, threading.Condition()
        self.by_id: dict[str, Injector] = {}

    def add(self) -> Injector:
        """A new injector, whose pod is not there yet."""
        made = Injector(secrets.token_hex(5), secrets.token_urlsafe(24), heard=self.clock())
        with self.changed:
            self.by_id[made.id] = made
        return made

    def forget(self, injector: Injector) -> None:
        """It may say nothing more."""
        with self.changed:
            self.by_id.pop(injector.id, None)

    def hear(self, injector_id: str, token: str, report: Mapping[str, Any]) -> str | None:
        """What an injector is told in answer to a report; None if it is none of ours, or says what none says."""
        with self.changed:
            found = self.by_id.get(injector_id)
            if found is None or not compare_digest(found.token.encode(), token.encode()):
                return None
            state = next((one for one in STATES if one == report.get("state")), None)
            if state is None:
                return None
            found.heard = self.clock()
            if not found.over and STATES.index(state) > STATES.index(found.state):
                found.state = state
                found.message = str(report.get("message", ""))[:MESSAGE_CHARACTERS]
                found.by = str(report.get("by", ""))[:20]
                found.counters = numbers(report.get("counters"))
            self.changed.notify_all()
            return found.command

    def command(self, injectors: list[Injector], command: Literal["inject", "release"]) -> None:
        """What they are told from now on."""
        with self.changed:
            for one in injectors:
                one.command = command

    def wait(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Wait until something holds, or for some seconds; whether it holds."""
        with self.changed:
            return self.changed.wait_for(done, max(0.0, seconds))

    def silent_seconds(self, injector: Injector) -> float:
        """How long nothing was heard of an injector."""
        return self.clock() - injector.heard


def numbers(given: object) -> dict[str, float]:
    """The counters of a report: names with numbers."""
    if not isinstance(given, dict):
        return {}
    kept = {str(name)[:40]: value for name, value in list(given.items())[:16] if isinstance(value, int | float)}
    return {name: float(value) for name, value in kept.items()}
