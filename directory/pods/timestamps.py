"""What a pod object proves about when the pod had its addresses; times of the API are whole seconds, rounded down.

Sources: `PodStatus.startTime` (written by the kubelet when it takes the pod, before there is a sandbox),
`ContainerStatus.state` (a container starts after its sandbox has its addresses; a sandbox goes after its containers),
`metadata.deletionTimestamp` minus the grace period (when deletion was requested: no kubelet acts before). A time that
cannot be read proves nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from directory.interval import FOREVER, REPORT_NS, SECOND
from directory.object_fields import mapping_at, mappings_at
from podsonar.errors import InputError
from podsonar.timestamp import parse_rfc3339

STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def time_ns(text: object) -> int | None:
    """Return a time of the API, at least 0 and before FOREVER; None if there is none that can be read."""
    if not isinstance(text, str):
        return None
    try:
        return min(max(parse_rfc3339(text), 0), FOREVER - 1)
    except (InputError, OverflowError):
        return None


def container_states(status: Mapping[str, Any], state: str, *, last: bool = False) -> Iterator[Mapping[str, Any]]:
    """Yield every container's details of one state (`running`, `terminated`), now or before its last restart."""
    for key in STATUS_LISTS:
        for container in mappings_at(status, key):
            details = mapping_at(mapping_at(container, "lastState" if last else "state"), state)
            if details:
                yield details


def created_ns(obj: Mapping[str, Any], at_ns: int) -> int:
    """Return when an object was created, at most `at_ns`; 0 if nothing shows it."""
    return min(time_ns(mapping_at(obj, "metadata").get("creationTimestamp")) or 0, at_ns)


def earliest_ns(pod: Mapping[str, Any]) -> int:
    """Return a moment at which the pod had no address yet; 0 if nothing shows one."""
    return time_ns(mapping_at(pod, "status").get("startTime")) or created_ns(pod, FOREVER)


def proven_from_ns(pod: Mapping[str, Any], at_ns: int, *, from_start: bool) -> int:
    """Return a moment since which the pod surely has the addresses that it shows at `at_ns`.

    A container that runs now started in the present sandbox. A pod without container statuses has no kubelet; of an
    inventory (`from_start`) it is taken to be so since it began.
    """
    started = [time_ns(run.get("startedAt")) for run in container_states(mapping_at(pod, "status"), "running")]
    known = [at for at in started if at]
    if known:
        return min(min(known) + SECOND, at_ns)
    return earliest_ns(pod) if from_start else at_ns


def proven_to_ns(pod: Mapping[str, Any], known_ns: int) -> int:
    """Return a moment until which a pod that has ended or is gone surely had its addresses; 0 if nothing is sure.

    `known_ns` is when its end was received, or the last time that it was known to be there.
    """
    status = mapping_at(pod, "status")
    main = mappings_at(status, "containerStatuses")
    terminated = [mapping_at(mapping_at(container, "state"), "terminated") for container in main]
    ends = [time_ns(run.get("finishedAt")) for run in terminated]
    if main and all(ends):
        return max(end for end in ends if end)
    if main and not any(container_states(status, "running")):
        return 0
    return min(deletion_requested_ns(pod), known_ns) - REPORT_NS


def address_lost_ns(pod: Mapping[str, Any], known_ns: int, *, replaced: bool) -> int:
    """Return a moment until which a pod surely had an address that it no longer shows; `replaced`: it shows another.

    `known_ns` is the last time that it was known to show it. The proof is the containers that ran in the sandbox of
    that address: with another address shown, those before the last restart; else every one that had started by then.
    """
    status = mapping_at(pod, "status")
    limit_ns = min(deletion_requested_ns(pod), known_ns) - REPORT_NS
    if not status.get("containerStatuses"):
        return limit_ns
    runs = list(container_states(status, "terminated", last=True))
    if replaced:
        return min(latest_end_ns(runs), limit_ns)
    runs += container_states(status, "terminated")
    return latest_end_ns(run for run in runs if (time_ns(run.get("startedAt")) or FOREVER) <= known_ns - REPORT_NS)


def latest_end_ns(runs: Iterable[Mapping[str, Any]]) -> int:
    """Return the last end of some terminated containers; 0 if none shows it."""
    return max((time_ns(run.get("finishedAt")) or 0 for run in runs), default=0)


def is_being_deleted(pod: Mapping[str, Any]) -> bool:
    """Whether deletion was requested, at whatever time."""
    return bool(mapping_at(pod, "metadata").get("deletionTimestamp"))


def deletion_requested_ns(pod: Mapping[str, Any]) -> int:
    """Return when the pod's deletion was requested: FOREVER if it was not, 0 if the times cannot be read.

    The grace period is the tenant's own: the API server takes any number of seconds, also one of centuries.
    """
    if not is_being_deleted(pod):
        return FOREVER
    meta = mapping_at(pod, "metadata")
    deletion, grace = time_ns(meta.get("deletionTimestamp")), meta.get("deletionGracePeriodSeconds", 0)
    if deletion is None or (grace is not None and (type(grace) is not int or grace < 0)):
        return 0
    return max(deletion - (grace or 0) * SECOND, 0)
