"""What differs between two windows: edges added, removed and changed, and what may be one of observation. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from manager.history.edges.absence import NOT_OBSERVED, Absence

EdgeKey = tuple[str, str, str, str]

# Attempts that differ by less are traffic of another minute, not a change; below, a factor means nothing.
FACTOR, FEW = 4, 20


class Change(NamedTuple):
    """A difference; `uncertain` says why it may be one of observation, empty if it is one of traffic."""

    change: str  # added, removed, failed, recovered, changed
    key: EdgeKey
    before: Mapping[str, Any] | None
    now: Mapping[str, Any] | None
    uncertain: list[str]

    def wire(self) -> dict[str, Any]:
        """The change as the API shows it."""
        source, destination, port, protocol = self.key
        named = {"change": self.change, "source": source, "destination": destination, "port": port, "type": protocol}
        return named | {"before": counts_of(self.before), "now": counts_of(self.now), "uncertain": self.uncertain}


def key_of(edge: Mapping[str, Any]) -> EdgeKey:
    """What names an edge."""
    return edge["source"], edge["destination"], edge["port"], edge["type"]


def counts_of(edge: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The counts of an edge."""
    if edge is None:
        return None
    return {name: edge[name] for name in ("attempts", "established", "failed", "lastErrno")}


def state_of(edge: Mapping[str, Any]) -> str:
    """`ok`, `some` or `all` by how many of its connects failed."""
    if not edge["failed"]:
        return "ok"
    return "some" if edge["established"] or edge["failed"] < edge["attempts"] else "all"


def change_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """How an edge that is in both windows differs."""
    worse = ("ok", "some", "all")
    was, is_now = worse.index(state_of(before)), worse.index(state_of(now))
    if was != is_now:
        return "failed" if is_now > was else "recovered"
    less, more = sorted((before["attempts"], now["attempts"]))
    return "changed" if more >= FEW and more > FACTOR * less else None


def absence_of(found: Mapping[str, Any]) -> Absence:
    """The answers about absent edges of a map."""
    return Absence(found["services"], found["coverage"], found["observation"])


def diff_maps(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    """The changes from one window to the other, by edge."""
    old = {key_of(edge): edge for edge in before["edges"]}
    new = {key_of(edge): edge for edge in now["edges"]}
    in_old, in_new = absence_of(before), absence_of(now)
    for key in sorted(old.keys() | new.keys()):
        was, is_now = old.get(key), new.get(key)
        if was is None:
            yield Change("added", key, None, is_now, why_uncertain(in_old, key))
        elif is_now is None:
            yield Change("removed", key, was, None, why_uncertain(in_new, key))
        elif change := change_between(was, is_now):
            yield Change(change, key, was, is_now, [])


def why_uncertain(absence: Absence, key: EdgeKey) -> list[str]:
    """Why it proves nothing that the edge is not in the window."""
    verdict = absence.verdict(key[0], key[1])
    return verdict.reasons if verdict.verdict == NOT_OBSERVED else []


def not_comparable(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Why nothing can be said about two windows; empty if they can be compared."""
    reasons = []
    for name, found in (("before", before), ("now", now)):
        states = [one["observed"] for one in found["coverage"].values()]
        if "whole" not in states:
            reasons.append(f"{name}: no node was observed for the whole window")
    return reasons


def count_changes(changes: Iterable[Change]) -> dict[str, int]:
    """How many changes of each kind are certain, and how many are not."""
    counts = dict.fromkeys(("added", "removed", "failed", "recovered", "changed", "uncertain"), 0)
    for one in changes:
        counts["uncertain" if one.uncertain else one.change] += 1
    return counts
