"""What a pod object proves about when the pod had its addresses; times of the API are whole seconds, rounded down.

Sources: `PodStatus.startTime` (written by the kubelet when it takes the pod, before there is a sandbox),
`ContainerStatus.state` (a container starts after its sandbox has its addresses; a sandbox goes after its containers),
`metadata.deletionTimestamp` minus the grace period (when deletion was asked for: no kubelet acts before).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from directory.addresses import address_keys
from directory.interval import FOREVER, REPORT_NS, SECOND
from podsonar.errors import InputError
from podsonar.model import parse_rfc3339

ENDED_PHASES = ("Succeeded", "Failed")
STATUS_LISTS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def time_ns(text: object) -> int | None:
    """A time of the API, or None where there is none that can be read."""
    if not isinstance(text, str):
        return None
    try:
        return min(max(parse_rfc3339(text), 0), FOREVER - 1)
    except InputError:
        return None


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has given its addresses back (or is about to), though it still shows them."""
    return (pod.get("status") or {}).get("phase") in ENDED_PHASES


def own_addresses(pod: Mapping[str, Any]) -> frozenset[int]:
    """The addresses that the pod shows as its own: none where it shares them with its node."""
    status = pod.get("status") or {}
    if (pod.get("spec") or {}).get("hostNetwork"):
        return frozenset()
    found = {entry.get("ip") for entry in status.get("podIPs") or []} | {status.get("podIP")}
    hosts = {entry.get("ip") for entry in status.get("hostIPs") or []} | {status.get("hostIP")}
    return address_keys(address for address in found - hosts if address)


def container_states(status: Mapping[str, Any], state: str, *, last: bool = False) -> Iterator[Mapping[str, Any]]:
    """Every container's details of one state (`running`, `terminated`), now or before its last restart."""
    for key in STATUS_LISTS:
        for one in status.get(key) or []:
            found = (one.get("lastState" if last else "state") or {}).get(state)
            if found:
                yield found


def earliest_ns(pod: Mapping[str, Any]) -> int:
    """A moment at which the pod had no address yet; 0 where nothing tells."""
    status, meta = pod.get("status") or {}, pod.get("metadata") or {}
    return time_ns(status.get("startTime")) or time_ns(meta.get("creationTimestamp")) or 0


def proven_from_ns(pod: Mapping[str, Any], at_ns: int, *, from_start: bool) -> int:
    """A moment since which the pod surely has the addresses that it shows at `at_ns`.

    A container that runs now started in the sandbox of now. What has no container status comes from no kubelet; of an
    inventory (`from_start`) it is taken to be so since it began.
    """
    status = pod.get("status") or {}
    started = [time_ns(one.get("startedAt")) for one in container_states(status, "running")]
    known = [one for one in started if one]
    if known:
        return min(min(known) + SECOND, at_ns)
    return earliest_ns(pod) if from_start else at_ns


def proven_to_ns(pod: Mapping[str, Any], known_ns: int) -> int:
    """A moment until which the pod surely had its addresses, for one that has ended or is gone.

    `known_ns` is when its end was heard of, or the last time that it was known to be there. 0: nothing is sure.
    """
    status = pod.get("status") or {}
    main = status.get("containerStatuses") or []
    ends = [time_ns(((one.get("state") or {}).get("terminated") or {}).get("finishedAt")) for one in main]
    if main and all(ends):
        return max(end for end in ends if end)
    if main and not any(container_states(status, "running")):
        return 0
    return min(deletion_requested_ns(pod), known_ns) - REPORT_NS


def address_lost_ns(pod: Mapping[str, Any], known_ns: int, *, replaced: bool) -> int:
    """A moment until which a pod surely had an address that it shows no more; `replaced` where it shows another.

    `known_ns` is the last time that it was known to show it. Behind it stand the containers that ran in the sandbox of
    that address: with another address shown, those before the last restart; else every one that had started by then.
    """
    status = pod.get("status") or {}
    limit_ns = min(deletion_requested_ns(pod), known_ns) - REPORT_NS
    if not status.get("containerStatuses"):
        return limit_ns
    runs = list(container_states(status, "terminated", last=True))
    if replaced:
        return min(latest_end_ns(runs), limit_ns)
    runs += container_states(status, "terminated")
    return latest_end_ns(one for one in runs if (time_ns(one.get("startedAt")) or FOREVER) <= known_ns - REPORT_NS)


def latest_end_ns(runs: Iterable[Mapping[str, Any]]) -> int:
    """The last end of some terminated containers; 0 where none tells."""
    return max((time_ns(one.get("finishedAt")) or 0 for one in runs), default=0)


def deletion_requested_ns(pod: Mapping[str, Any]) -> int:
    """When the pod's deletion was asked for; FOREVER where it was not."""
    meta = pod.get("metadata") or {}
    deletion = time_ns(meta.get("deletionTimestamp"))
    if deletion is None:
        return FOREVER
    return deletion - int(meta.get("deletionGracePeriodSeconds") or 0) * SECOND
