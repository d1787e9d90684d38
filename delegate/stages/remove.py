"""Deleting: in reverse order, by uid, and only what the task names; each object until it is gone."""

import time
from collections.abc import Callable, Sequence

from cluster_api.objects import Objects
from cluster_api.resources import ORDER
from delegate.task import ObjectReport, OwnedObject
from podsonar.errors import ObjectRefusedError

TURN_SECONDS = 0.5


def remove_all(
    objects: Objects,
    owned: Sequence[OwnedObject],
    seconds: float,
    stopped: Callable[[float], bool],
    on_removed: Callable[[ObjectReport], object],
) -> bool:
    """Delete the objects and wait until each is gone; whether all of them are.

    Workloads go first, with their pods: those may still deliver with the token and settings that go after them.
    """
    deadline = time.monotonic() + seconds
    complete = True
    for one in sorted(owned, key=lambda item: ORDER[item.kind], reverse=True):
        name = one.identity
        try:
            there = objects.delete(name, one.uid)
            while there and (found := objects.get(name)) is not None and found["metadata"]["uid"] == one.uid:
                if time.monotonic() >= deadline or stopped(TURN_SECONDS):
                    waiting = ", ".join(found["metadata"].get("finalizers") or []) or "no finalizer"
                    on_removed(
                        ObjectReport.of(
                            name, "failed", uid=one.uid, message=f"not gone after {seconds:.0f} s: {waiting}"
                        )
                    )
                    complete = False
                    break
            else:
                on_removed(ObjectReport.of(name, "deleted", uid=one.uid))
        except ObjectRefusedError as error:
            on_removed(ObjectReport.of(name, "failed", uid=one.uid, message=str(error)))
            complete = False
    return complete
