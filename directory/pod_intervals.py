"""Updates the intervals of a pod after each observation: addresses shown begin, others end, its own end ends all."""

from collections.abc import Mapping, Sequence
from typing import Any

from directory import pod_timestamps
from directory.interval import FOREVER, REPORT_NS, Interval
from directory.pod_table import AddressInterval


def updated_intervals(
    obj: Mapping[str, Any], before: Sequence[AddressInterval], at_ns: int, known_ns: int, *, from_start: bool
) -> list[AddressInterval]:
    """The intervals of a pod that looks like this at `at_ns`; `known_ns`: until then it was known to be as before."""
    shown = pod_timestamps.own_addresses(obj)
    if pod_timestamps.has_ended(obj) and not before:
        return ended_pod_intervals(obj, shown, at_ns, from_start=from_start)
    held = [updated_interval(obj, one, shown, at_ns, known_ns) if one.interval.open else one for one in before]
    if pod_timestamps.has_ended(obj):
        return held
    there = {one.address for one in held if one.interval.open}
    return held + new_intervals(obj, shown - there, at_ns, from_start=from_start)


def new_intervals(
    obj: Mapping[str, Any], addresses: frozenset[int], at_ns: int, *, from_start: bool
) -> list[AddressInterval]:
    """The intervals of addresses that a pod shows for the first time."""
    earliest = min(pod_timestamps.earliest_ns(obj), at_ns)
    sure_from = max(earliest, pod_timestamps.proven_from_ns(obj, at_ns, from_start=from_start))
    interval = Interval(obj["metadata"]["uid"], earliest, sure_from)
    return [
        updated_interval(obj, AddressInterval(address, interval), addresses, at_ns, at_ns)
        for address in sorted(addresses)
    ]


def updated_interval(
    obj: Mapping[str, Any], held: AddressInterval, shown: frozenset[int], at_ns: int, known_ns: int
) -> AddressInterval:
    """An open interval after a look at its pod: it goes on, is about to end, or has ended."""
    interval = held.interval
    if held.address not in shown:
        return AddressInterval(
            held.address, interval.with_end(pod_timestamps.address_lost_ns(obj, known_ns, replaced=bool(shown)), at_ns)
        )
    if pod_timestamps.has_ended(obj):
        return AddressInterval(held.address, interval.with_end(pod_timestamps.proven_to_ns(obj, known_ns), at_ns))
    interval = interval.with_proof(pod_timestamps.proven_from_ns(obj, at_ns, from_start=False))
    if obj["metadata"].get("deletionTimestamp"):  # its kubelet may give the address back at any moment from now on
        interval = interval.with_end(pod_timestamps.proven_to_ns(obj, at_ns), FOREVER)
    return AddressInterval(held.address, interval)


def ended_pod_intervals(
    obj: Mapping[str, Any], shown: frozenset[int], at_ns: int, *, from_start: bool
) -> list[AddressInterval]:
    """The intervals of a pod that had ended when it was first seen: possible, never certain."""
    end_ns = pod_timestamps.proven_to_ns(obj, 0) + REPORT_NS if from_start else at_ns
    earliest = min(pod_timestamps.earliest_ns(obj), at_ns)
    end_ns = max(earliest, end_ns)
    return [
        AddressInterval(address, Interval(obj["metadata"]["uid"], earliest, end_ns, 0, end_ns))
        for address in sorted(shown)
    ]


def closed_intervals(
    before: Sequence[AddressInterval], at_ns: int, known_ns: int, last: Mapping[str, Any] | None
) -> list[AddressInterval]:
    """The intervals of a pod that is gone; `last` is its last state, where that is known."""
    held = []
    for address, interval in before:
        if not interval.open:
            held.append(AddressInterval(address, interval))
            continue
        sure_to = (
            pod_timestamps.proven_to_ns(last, known_ns) if last else min(interval.sure_to_ns, known_ns - REPORT_NS)
        )
        held.append(AddressInterval(address, interval.with_end(sure_to, at_ns)))
    return held
