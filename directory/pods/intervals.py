"""Updates the intervals of a pod after each observation: addresses shown begin, others end, its own end ends all."""

from collections.abc import Mapping, Sequence
from typing import Any

from directory.interval import FOREVER, REPORT_NS, Interval, OwnerKey
from directory.pods import status, timestamps
from directory.pods.table import AddressInterval


def updated_intervals(
    obj: Mapping[str, Any],
    owner: OwnerKey,
    before: Sequence[AddressInterval],
    at_ns: int,
    known_ns: int,
    *,
    from_start: bool,
) -> list[AddressInterval]:
    """Return the intervals of a pod that is as `obj` at `at_ns`.

    `known_ns` is the last moment at which it was known to be as before.
    """
    shown = status.own_addresses(obj)
    if status.has_ended(obj) and not before:
        return ended_pod_intervals(obj, owner, shown, at_ns, from_start=from_start)
    intervals = [update_interval(obj, entry, shown, at_ns, known_ns) for entry in before]
    if status.has_ended(obj):
        return intervals
    there = {entry.address for entry in intervals if entry.interval.open}
    return intervals + new_intervals(obj, owner, shown - there, at_ns, from_start=from_start)


def new_intervals(
    obj: Mapping[str, Any], owner: OwnerKey, addresses: frozenset[int], at_ns: int, *, from_start: bool
) -> list[AddressInterval]:
    """Return the intervals of addresses that a pod shows for the first time."""
    earliest = min(timestamps.earliest_ns(obj), at_ns)
    sure_from = max(earliest, timestamps.proven_from_ns(obj, at_ns, from_start=from_start))
    interval = Interval(owner, earliest, sure_from)
    return [
        update_interval(obj, AddressInterval(address, interval), addresses, at_ns, at_ns)
        for address in sorted(addresses)
    ]


def update_interval(
    obj: Mapping[str, Any], entry: AddressInterval, shown: frozenset[int], at_ns: int, known_ns: int
) -> AddressInterval:
    """Return an interval after an observation of its pod: it goes on, is about to end, or has ended."""
    address, interval = entry
    if not interval.open:
        return entry
    if address not in shown:
        lost_ns = timestamps.address_lost_ns(obj, known_ns, replaced=bool(shown))
        return AddressInterval(address, interval.with_end(lost_ns, at_ns))
    if status.has_ended(obj):
        return AddressInterval(address, interval.with_end(timestamps.proven_to_ns(obj, known_ns), at_ns))
    interval = interval.with_proof(timestamps.proven_from_ns(obj, at_ns, from_start=False))
    if timestamps.is_being_deleted(obj):  # its kubelet may give the address back at any moment from now on
        interval = interval.with_end(min(timestamps.proven_to_ns(obj, at_ns), at_ns), FOREVER)
    return AddressInterval(address, interval)


def ended_pod_intervals(
    obj: Mapping[str, Any], owner: OwnerKey, shown: frozenset[int], at_ns: int, *, from_start: bool
) -> list[AddressInterval]:
    """Return the intervals of a pod that had ended when it was first seen: possible, never certain."""
    end_ns = min(timestamps.proven_to_ns(obj, 0) + REPORT_NS, at_ns) if from_start else at_ns
    earliest = min(timestamps.earliest_ns(obj), at_ns)
    end_ns = max(earliest, end_ns)
    return [AddressInterval(address, Interval(owner, earliest, end_ns, 0, end_ns)) for address in sorted(shown)]


def closed_intervals(
    before: Sequence[AddressInterval], at_ns: int, known_ns: int, last: Mapping[str, Any] | None
) -> list[AddressInterval]:
    """Return the intervals of a pod that is gone; `last` is its last state, if that is known."""
    closed = []
    for address, interval in before:
        if not interval.open:
            closed.append(AddressInterval(address, interval))
            continue
        proven_ns = timestamps.proven_to_ns(last, known_ns) if last else known_ns - REPORT_NS
        sure_to = proven_ns if last else min(interval.sure_to_ns, proven_ns)
        closed.append(AddressInterval(address, interval.with_end(sure_to, at_ns)))
    return closed
