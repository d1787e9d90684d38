"""An application in simulated pods, traced window after window by the real agent and kept by the real manager."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from cli.demo.processes import AGENT, free_port, managed, program, wait_for
from lab.applications.application import Workload
from lab.applications.behaviour import Behaviour
from lab.demo import api_server
from lab.simulated.pods import Lab
from podsonar.errors import PodsonarError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

LEAD_SECONDS = 15  # before the first window: programs start, the loader compiles; what comes too early is left out
DELIVERY_SECONDS = 60.0
BEAT_SECONDS = 0.5


class NotDeliveredError(PodsonarError):
    """A window has passed without the agent: it was still loading its program, on a busy machine."""


class Seen(NamedTuple):
    """A window that was waited for, and what each workload's own program counted in it."""

    window: Window
    counts: Mapping[str, Mapping[str, int]]


class Site:
    """A recorded cluster with one application; everything ends with the stack. `windows` of them can be observed.

    A window begins every `period` seconds and is observed for `seconds`.
    """

    def __init__(
        self, stack: ExitStack, behaviour: Behaviour, windows: int, seconds: float = 4.0, period: float = 8.0
    ) -> None:
        self.behaviour = behaviour
        self.manager = managed(stack, free_port(0))
        folder = self.manager.folder
        self.left = windows_ahead(windows, seconds, period)
        words = chain.from_iterable(("--once-window", *window.wire().values()) for window in self.left)
        self.log = folder / "agent.log"
        options = ("--config", str(folder / "agent.yaml"))
        stack.enter_context(program(self.log, "agent", "run", *options, *words))
        served = api_server.start_recorded(stack, folder, behaviour.application.objects())
        self.uids = {
            item["metadata"]["name"]: item["metadata"]["uid"] for item in served.objects if item["kind"] == "Pod"
        }
        self.lab = stack.enter_context(Lab())
        behaviour.start(self.lab, self.uids)
        options = ("--config", str(folder / "collector.yaml"), "--kubeconfig", str(served.kubeconfig))
        stack.enter_context(program(folder / "collector.log", "collector", "run", "--now", *options))
        wait_for(f"http://{self.manager.directory}/", "the collector's directory")

    def pods_of(self, workload: str) -> list[str]:
        """The names of a workload's pods."""
        found = self.workload(workload)
        return [found.pod(number) for number in range(len(found.hosts))]

    def workload(self, name: str) -> Workload:
        """The declared workload of that name."""
        return next(one for one in self.behaviour.application.workloads if one.name == name)

    def cgroup(self, pod: str) -> Path:
        """The version 2 cgroup of a pod, above those of its containers."""
        return next(one.parent for one in self.lab.pods[pod].folders if (one / "cgroup.controllers").exists())

    def observe(self, settle_seconds: float = 0.0, beat: Callable[[], object] = lambda: None) -> Seen:
        """Wait for the next window that begins after so many seconds, and for its end; meanwhile call `beat`.

        PodsonarError where no window is left.
        """
        from_ns = time.time_ns() + int(settle_seconds * NS_PER_SECOND)
        while self.left and self.left[0].start_ns < from_ns:
            del self.left[0]
        if not self.left:
            raise PodsonarError("no window is left: expected more windows, or a machine that is less busy")
        window = self.left.pop(0)
        wait_until(window.start_ns, beat)
        before = self.behaviour.counters(self.lab)
        wait_until(window.end_ns, beat)
        after = self.behaviour.counters(self.lab)
        return Seen(window, {name: grown(before[name], counts) for name, counts in after.items()})

    def map_of(self, window: Window) -> dict[str, Any]:
        """The map of a window, once the agent has delivered it; NotDeliveredError if it does not within a minute."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        while time.monotonic() < deadline:
            answer = httpx.get(
                f"{self.manager.url}/api/v1/agents/{AGENT}/map",
                params={"window": window.id},
                headers={"X-API-Key": self.manager.key},
                trust_env=False,
                timeout=30,
            )
            if answer.status_code == httpx.codes.OK and answer.json()["observation"]:
                found: dict[str, Any] = answer.json()
                return found
            time.sleep(0.5)
        lines = self.log.read_text(errors="replace").splitlines()
        last = " | ".join(lines[-3:])[:600]
        raise NotDeliveredError(f"window {window.id} was not delivered: {answer.text[:300]} {last}")


def windows_ahead(count: int, seconds: float, period: float) -> list[Window]:
    """So many windows; the first begins at a whole second."""
    first_ns = (time.time_ns() // NS_PER_SECOND + LEAD_SECONDS) * NS_PER_SECOND
    starts = [first_ns + int(number * period * NS_PER_SECOND) for number in range(count)]
    return [Window(start, start + int(seconds * NS_PER_SECOND)) for start in starts]


def wait_until(at_ns: int, beat: Callable[[], object]) -> None:
    """Sleep until a time, and call `beat` twice a second."""
    while (left_seconds := (at_ns - time.time_ns()) / NS_PER_SECOND) > 0:
        beat()
        time.sleep(min(BEAT_SECONDS, left_seconds))


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was counted in between; a program that began anew counts from zero."""
    names: Iterable[str] = sorted(after)
    return {name: count for name in names if (count := after[name] - before.get(name, 0)) > 0}
