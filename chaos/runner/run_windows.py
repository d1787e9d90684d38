"""The windows in which the steps of a run are observed: ordered before a group begins, which waits for its baseline.

What is not ordered, or not known any more when the baseline is over, is a reason not to inject: the run could not be
judged.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from chaos.runner.window_client import WindowClient, WindowsRefusedError
from chaos.window_settings import FREE_SECONDS, WindowSettings, fault_seconds
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from podsonar.window_orders import soonest_start_ns

TRY_SECONDS, PAUSE_SECONDS = 30.0, 2.0
NO_COLLECTOR = "windows are wanted, and the runner knows no collector: expected PODSONAR_DIRECTORY_URL and its token"

log = structlog.get_logger()


class RunWindows:
    """Orders the windows of a run. `wait` returns early, and true, when the run is asked to stop."""

    def __init__(
        self, client: WindowClient | None, run_id: str, wait: Callable[[float], bool], clock: Callable[[], int]
    ) -> None:
        self.client, self.run_id, self.wait, self.clock = client, run_id, wait, clock
        self.ordered_until_ns = 0

    def before_group(self, spec: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> str:
        """Order the windows of a group and wait until its baseline is over; return why that failed, empty if not."""
        if spec.get("windows") is None or not tasks:
            return ""
        settings = msgspec.convert(spec["windows"], WindowSettings)
        if self.client is None:
            return NO_COLLECTOR
        kinds = settings.kinds(max(fault_seconds(settings_of(task)) for task in tasks))
        try:
            start_ns = self.order(self.client, settings, kinds)
            until_ns = start_ns + settings.baseline * settings.seconds * NS_PER_SECOND
            if start_ns and not self.wait(max(0.0, (until_ns - self.clock()) / NS_PER_SECOND)):
                self.client.of_run(self.run_id)
        except WindowsRefusedError as error:
            return str(error)
        return ""

    def order(self, client: WindowClient, settings: WindowSettings, kinds: Sequence[str]) -> int:
        """Order windows of these kinds as soon as there is room; return the begin, 0 if the run is asked to stop."""
        free_ns, began = 0, time.monotonic()
        latest_ns = self.clock() + FREE_SECONDS * NS_PER_SECOND
        while True:
            start_ns = max(soonest_start_ns(self.clock()), self.ordered_until_ns, free_ns)
            try:
                known = client.order(self.run_id, start_ns, settings.seconds, kinds)
            except WindowsRefusedError as error:
                free_ns = error.next_free_ns or 0
                tried_long = time.monotonic() - began > TRY_SECONDS
                if (free_ns == 0 and (not error.again or tried_long)) or free_ns > latest_ns:
                    raise
                log.info("windows_not_ordered", error=str(error))
                if self.wait(PAUSE_SECONDS):
                    return 0
                continue
            self.ordered_until_ns = start_ns + len(kinds) * settings.seconds * NS_PER_SECOND
            if not known.listening:
                raise WindowsRefusedError("no agent waits for ordered windows: expected node.orders at the agents")
            log.info("windows_ordered", begin=rfc3339(start_ns), windows=len(kinds), agents=known.listening)
            return start_ns


def settings_of(task: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a task's fault that have a value."""
    env = task["definition"]["chaos"].get("env") or ()
    return {one["name"]: one["value"] for one in env if one.get("value")}
