"""What a fault is given by its runner, and how it fails. The table of faults is in `steps`."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.runner.injectors.registry import Injectors
from chaos.runner.step_logs import LineWriter
from chaos.runner.targets import TargetPod
from cluster_api.objects import Objects
from podsonar.errors import PodsonarError


class FaultError(PodsonarError):
    """A fault could not be made, or its target did not heal; `code` is one of the error codes.

    `plain` are the words for a log, where `text` has what a probe's target wrote.
    """

    def __init__(self, code: str, text: str, plain: str = "") -> None:
        super().__init__(text)
        self.code, self.plain = code, plain


def nothing_follows() -> None:
    """Do nothing once a fault is in: no probe waits for it."""


def check_nothing(_chosen: Sequence[TargetPod], _pods: Sequence[TargetPod]) -> None:
    """Let every pod be hit: nothing guards the targets."""


def record_nothing(_names: Sequence[str]) -> None:
    """Record the injectors of a step nowhere: there is none."""


@dataclass
class FaultContext:
    """The cluster, the clock, and whether to stop. `log` writes a line of the step's log.

    `injectors` are known where the run may have any; `deployment` is what owns their pods. `record` returns once the
    manager has stored the names of a step's injectors, FaultError if it does not. `check` is given the chosen pods and
    all that could have been, before each injection; FaultError if a guard refuses. A fault calls `on_injected` when
    it is in, and `on_over` when it is about to end; of several times the first and the last count.
    """

    objects: Objects
    clock: Callable[[], float]
    log: LineWriter
    step: str = ""
    injectors: Injectors | None = None
    run_id: str = ""
    report_url: str = ""
    deployment: Callable[[], Mapping[str, Any] | None] = lambda: None
    record: Callable[[Sequence[str]], None] = record_nothing
    check: Callable[[Sequence[TargetPod], Sequence[TargetPod]], None] = check_nothing
    on_injected: Callable[[], None] = nothing_follows
    on_over: Callable[[], None] = nothing_follows
    stop: threading.Event = field(default_factory=threading.Event)
    chance: random.Random = field(default_factory=random.Random)
    heal_seconds: float = 120.0

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        if seconds > 0:
            self.stop.wait(seconds)

    def stopped(self) -> bool:
        """Whether the step is asked to end."""
        return self.stop.is_set()


Fault = Callable[[FaultContext, Mapping[str, Any], Mapping[str, str]], str]
