"""`pod-delete`: deletes pods by name and UID, so that another pod of the same name is never hit."""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from chaos.runner.faults.context import FaultContext, FaultError
from chaos.runner.faults.guarded_targets import choose_targets
from chaos.runner.faults.settings import whole_number
from chaos.runner.targets import TargetPod, find_targets, read_selection
from podsonar.errors import InputError, ObjectRefusedError

DEFAULT_DURATION, DEFAULT_INTERVAL = 30, 10


def pod_delete(context: FaultContext, targets: Mapping[str, Any], settings: Mapping[str, str]) -> str:
    """Delete pods once per interval until the duration is over, and return how many; then await the workload's pods."""
    duration = whole_number(settings, "TOTAL_CHAOS_DURATION", DEFAULT_DURATION)
    interval = max(1, whole_number(settings, "CHAOS_INTERVAL", DEFAULT_INTERVAL))
    ramp = whole_number(settings, "RAMP_TIME", 0)
    grace = 0 if settings.get("FORCE", "").lower() == "true" else None
    selection = read_selection(settings)
    before = find_targets(context.objects, targets)
    context.wait(ramp)
    end = context.clock() + duration
    deleted = 0
    for number in range(rounds(duration, interval)):
        if context.stopped() or (number and context.clock() >= end):
            break
        for pod in choose_targets(context, targets, selection):
            deleted += delete(context, pod, grace)
            context.on_injected()
            if not selection.parallel:
                context.wait(min(interval, max(0.0, end - context.clock())))
        context.wait(min(interval, max(0.0, end - context.clock())))
    context.on_over()
    context.wait(ramp)
    await_pods(context, lambda: len(find_targets(context.objects, targets)) >= len(before), len(before))
    return f"{deleted} pods deleted"


def rounds(duration: int, interval: int) -> int:
    """How often a fault without a time of its own is made: once per interval that begins within the duration."""
    return max(1, math.ceil(duration / interval))


def delete(context: FaultContext, pod: TargetPod, grace: int | None) -> int:
    """Delete one pod if it still has its UID; 1 if it was there."""
    try:
        gone = context.objects.delete(pod.object_name, pod.uid, grace_seconds=grace)
    except ObjectRefusedError as error:
        raise FaultError("E3002: POD_DELETE_ERROR", str(error)) from error
    context.log(f"pod {pod.namespace}/{pod.name} ({pod.uid}) {'deleted' if gone else 'was gone'}")
    return int(gone)


def await_pods(context: FaultContext, healed: Callable[[], bool], wanted: int) -> None:
    """Wait until the workload has its pods again, or for a stop; FaultError if it does not within its time."""
    end = context.clock() + context.heal_seconds
    while context.clock() < end:
        if context.stopped():
            return
        try:
            if healed():
                return
        except InputError:
            pass  # not one pod runs yet
        context.wait(1)
    raise FaultError("E3003: TARGET_NOT_HEALED", f"fewer than {wanted} pods run {context.heal_seconds} s later")


def new_chance() -> random.Random:
    """The choice of pods."""
    return random.Random()  # noqa: S311 - no secret
