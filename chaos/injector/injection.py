"""An injector's life: find the target, wait for the word, hold the fault while its runner answers, say how it ended.

It injects once at most. Without an answer for five seconds the fault ends, and so does it with this process.
"""

import threading
import time
from pathlib import Path

import structlog

from chaos.faults.fault import InjectionError
from chaos.faults.holder_client import Held, Released, hold, try_out
from chaos.faults.pod_cgroups import PodCgroups, kill_container
from chaos.injector.order import InjectionOrder, fault_of, find_target
from chaos.injector.runner_client import RunnerClient

BEAT_SECONDS = 0.5
WAIT_SECONDS = 70.0  # for the word to inject
REPORT_SECONDS = 20.0  # for an answer to the last report

log = structlog.get_logger()


class Injection:
    """One order. `stop` ends it: its pod is being deleted."""

    def __init__(self, order: InjectionOrder, runner: RunnerClient, root: Path, stop: threading.Event) -> None:
        self.order, self.runner, self.root, self.stop = order, runner, root, stop

    def run(self) -> bool:
        """Carry out the order, and return whether it was carried out or called off; a failure is reported."""
        try:
            target = find_target(self.order, self.root)
            if self.order.kind != "container-kill":
                try_out(fault_of(self.order, target))  # whatever is wrong with it is said before anybody injects
            if not self.await_word():
                return self.report("released", by="none")
            if self.order.kind == "container-kill":
                kill_container(target.unified_container)
                log.info("container_killed", pod=self.order.pod)
                return self.report("released", by="done", counters={"killed": 1})
            released = self.hold(target)
        except InjectionError as error:
            log.error("injection_failed", error=str(error))  # noqa: TRY400
            self.report("failed", message=str(error))
            return False
        log.info("fault_released", by=released.by, counters=dict(released.counters))
        return self.report("released", by=released.by, counters=dict(released.counters))

    def await_word(self) -> bool:
        """Say that everything is ready until the runner wants the fault; False if it is called off, or never wanted."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end and not self.stop.wait(BEAT_SECONDS):
            command = self.runner.say("ready")
            if command in {"inject", "release"}:
                return command == "inject"
        return False

    def hold(self, target: PodCgroups) -> Released:
        """Hold the fault until it is over by itself, is not wanted any more, or the runner is gone."""
        held = hold(fault_of(self.order, target), self.order.seconds)
        log.info("fault_injected", kind=self.order.kind, pod=self.order.pod, seconds=self.order.seconds)
        asked = self.beat(held)
        released = held.release()
        return released if asked or released.by != "G2" else Released("deleted", released.counters)

    def beat(self, held: Held) -> bool:
        """Carry the runner's answers to the holder until the fault is over or is to end; whether the runner asked."""
        while not held.ended() and not self.stop.is_set():
            command = self.runner.say("held")
            if command == "release":
                return True
            if command == "inject":
                held.beat()
            self.stop.wait(BEAT_SECONDS)
        return False

    def report(self, state: str, **more: object) -> bool:
        """Say how it ended until the runner has taken it, for a while; True, for it has ended either way."""
        end = time.monotonic() + REPORT_SECONDS
        while self.runner.say(state, **more) is None and time.monotonic() < end:
            if self.stop.wait(BEAT_SECONDS):
                break
        return True
