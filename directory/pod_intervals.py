"""A pod's tenures after each look at it: new addresses begin, those that it shows no more end, its own end ends all."""

from collections.abc import Mapping, Sequence
from typing import Any

from directory import pod_timestamps
from directory.interval import FOREVER, REPORT_NS, Interval
from directory.pod_table import Held


def after_look(
    obj: Mapping[str, Any], before: Sequence[Held], at_ns: int, known_ns: int, *, from_start: bool
) -> list[Held]:
    """The tenures of a pod that looks like this at `at_ns`; `known_ns`: until then it was known to be as before."""
    shown = pod_timestamps.addresses(obj)
    if pod_timestamps.ended(obj) and not before:
        return over(obj, shown, at_ns, from_start=from_start)
    held = [continued(obj, one, shown, at_ns, known_ns) if one.tenure.open else one for one in before]
    if pod_timestamps.ended(obj):
        return held
    there = {one.address for one in held if one.tenure.open}
    return held + begun(obj, shown - there, at_ns, from_start=from_start)


def begun(obj: Mapping[str, Any], addresses: frozenset[int], at_ns: int, *, from_start: bool) -> list[Held]:
    """The tenures of addresses that a pod shows for the first time."""
    earliest = min(pod_timestamps.earliest_ns(obj), at_ns)
    sure_from = max(earliest, pod_timestamps.proved_ns(obj, at_ns, from_start=from_start))
    tenure = Interval(obj["metadata"]["uid"], earliest, sure_from)
    return [continued(obj, Held(address, tenure), addresses, at_ns, at_ns) for address in sorted(addresses)]


def continued(obj: Mapping[str, Any], held: Held, shown: frozenset[int], at_ns: int, known_ns: int) -> Held:
    """An open tenure after a look at its pod: it goes on, is about to end, or has ended."""
    tenure = held.tenure
    if held.address not in shown:
        return Held(held.address, tenure.ended(pod_timestamps.lost_ns(obj, known_ns, replaced=bool(shown)), at_ns))
    if pod_timestamps.ended(obj):
        return Held(held.address, tenure.ended(pod_timestamps.finished_ns(obj, known_ns), at_ns))
    tenure = tenure.surer(pod_timestamps.proved_ns(obj, at_ns, from_start=False))
    if obj["metadata"].get("deletionTimestamp"):  # its kubelet may give the address back at any moment from now on
        tenure = tenure.ended(pod_timestamps.finished_ns(obj, at_ns), FOREVER)
    return Held(held.address, tenure)


def over(obj: Mapping[str, Any], shown: frozenset[int], at_ns: int, *, from_start: bool) -> list[Held]:
    """The tenures of a pod that had ended when it was first seen: possible, never certain."""
    end_ns = pod_timestamps.finished_ns(obj, 0) + REPORT_NS if from_start else at_ns
    earliest = min(pod_timestamps.earliest_ns(obj), at_ns)
    end_ns = max(earliest, end_ns)
    return [Held(address, Interval(obj["metadata"]["uid"], earliest, end_ns, 0, end_ns)) for address in sorted(shown)]


def after_end(before: Sequence[Held], at_ns: int, known_ns: int, last: Mapping[str, Any] | None) -> list[Held]:
    """The tenures of a pod that is gone; `last` is its last state, where that is known."""
    held = []
    for address, tenure in before:
        if not tenure.open:
            held.append(Held(address, tenure))
            continue
        sure_to = pod_timestamps.finished_ns(last, known_ns) if last else min(tenure.sure_to_ns, known_ns - REPORT_NS)
        held.append(Held(address, tenure.ended(sure_to, at_ns)))
    return held
