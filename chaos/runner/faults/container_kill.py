"""`container-kill`: kills every process of one container at once, and awaits that the kubelet starts it again."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.injector.order import InjectionOrder
from chaos.runner.faults.context import FaultContext, FaultError
from chaos.runner.faults.guarded_targets import choose_targets
from chaos.runner.faults.inject_and_release import Aim, Injection
from chaos.runner.faults.pod_delete import rounds
from chaos.runner.faults.settings import whole_number
from chaos.runner.faults.stress_and_network import aims_at
from chaos.runner.targets import read_selection

DEFAULT_SECONDS, DEFAULT_INTERVAL = 20, 10


def container_kill(context: FaultContext, targets: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    """Kill a container of each chosen pod once per interval, and return how many were; then await all of them."""
    duration = whole_number(settings, "TOTAL_CHAOS_DURATION", DEFAULT_SECONDS, 1)
    interval = whole_number(settings, "CHAOS_INTERVAL", DEFAULT_INTERVAL, 1)
    ramp, selection = whole_number(settings, "RAMP_TIME", 0), read_selection(settings)
    context.wait(ramp)
    end, killed = context.clock() + duration, 0
    hit: list[Aim] = []
    order = InjectionOrder("container-kill", "", 1)
    for number in range(rounds(duration, interval)):
        if context.stopped() or (number and context.clock() >= end):
            break
        pods = choose_targets(context, targets, selection)
        begun = context.clock()
        for group in [pods] if selection.parallel else [[pod] for pod in pods]:
            aims = aims_at(context, group, order, settings.get("TARGET_CONTAINER", ""), container=True)
            killed += sum(one.by == "done" for one in Injection(context).run(aims))
            hit += aims
        await_restarts(context, hit)
        context.wait(min(interval - (context.clock() - begun), end - context.clock()))
    context.on_over()
    context.wait(ramp)
    return f"{killed} containers killed"


def await_restarts(context: FaultContext, aims: Sequence[Aim]) -> None:
    """Wait until each of the containers runs again under another id; FaultError if one does not within its time."""
    end = context.clock() + context.heal_seconds
    for aim in aims:
        while not has_restarted(context, aim):
            if context.clock() > end:
                text = f"container {aim.container} of {aim.pod.name} does not run {context.heal_seconds} s later"
                raise FaultError("E3003: TARGET_NOT_HEALED", text)
            if context.stopped():
                return
            context.wait(0.5)


def has_restarted(context: FaultContext, aim: Aim) -> bool:
    """Whether a container runs under another id; its pod may be gone, with it."""
    body = context.objects.get(aim.pod.object_name)
    if body is None or body["metadata"]["uid"] != aim.pod.uid:
        return True
    for status in body.get("status", {}).get("containerStatuses") or []:
        if status["name"] == aim.container and "running" in (status.get("state") or {}):
            return not str(status.get("containerID", "")).endswith(aim.order.container)
    return False
