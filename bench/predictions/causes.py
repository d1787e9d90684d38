"""Why an edge was seen otherwise than predicted, by what the services' own programs counted meanwhile. Pure.

A cause is named only where its evidence was counted; without any it is `UNEXPLAINED`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaos.control.judge.impact import Impact, State

UNEXPLAINED = "not explained"
GROWN = 1.5  # times the requests of the baseline

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Caller:
    """What the program of an edge's caller counted in baseline and fault; bytes of the edge as the map has them."""

    name: str
    callee: str
    before: Counts
    then: Counts
    bytes_before: Mapping[str, Any]
    bytes_then: Mapping[str, Any]
    left_out: int = 0  # connections that were open in the fault, whose direction the node agent could not tell

    def calls(self, what: str) -> int:
        """A count of the edge's calls in the fault."""
        return self.then.get(f"{self.callee} {what}", 0)

    @property
    def requests(self) -> int:
        """Its requests in the fault."""
        return requests(self.then)

    @property
    def requests_before(self) -> int:
        """Its requests in the baseline."""
        return requests(self.before)

    @property
    def failed_callees(self) -> list[str]:
        """The callees of which calls failed in the fault."""
        return sorted(name.removesuffix(" failed") for name in self.then if name.endswith(" failed"))


def requests(counts: Counts) -> int:
    """Requests that ended."""
    return counts.get("served", 0) + counts.get("failed", 0)


def why_missed(impact: Impact, caller: Caller) -> tuple[str, str]:
    """Cause and sentence of an edge that changed and was not predicted."""
    rule = MISSES.get(impact.state)
    return (rule(impact, caller) if rule else None) or unexplained(impact)


def why_new(_impact: Impact, caller: Caller) -> tuple[str, str] | None:
    """An edge that the baseline did not have."""
    if count := caller.calls("fallbacks"):
        failed = " and ".join(caller.failed_callees)
        return "hidden fallback", f"{caller.name} called {caller.callee} {count} times, since {failed} had failed"
    if not caller.requests_before and caller.requests:
        text = f"{caller.name} got {caller.requests} requests, and none in the baseline"
        return "behind a fallback", text
    calls, name = caller.before.get(f"{caller.callee} calls", 0), f"{caller.callee} connects"
    if calls and name not in caller.before and caller.calls("connects"):
        text = f"{calls} calls of the baseline needed no connect, then there were {caller.calls('connects')}"
        return "behind a pool", text
    return None


def why_surging(impact: Impact, caller: Caller) -> tuple[str, str] | None:
    """An edge with many more attempts."""
    if count := caller.calls("retries"):
        text = f"{count} of {impact.fault.attempts} connects of {caller.name} were retries"
        return "retry storm", text
    if caller.requests > GROWN * caller.requests_before:
        text = f"{caller.name} got {caller.requests} requests, {caller.requests_before} in the baseline"
        return "behind a retry storm", text
    return None


def why_silent(_impact: Impact, caller: Caller) -> tuple[str, str] | None:
    """An edge without attempts."""
    if count := caller.calls("skipped"):
        failed = " and ".join(caller.failed_callees)
        return "hard dependency", f"{caller.name} left out {count} calls of {caller.callee}, since {failed} had failed"
    if not caller.calls("calls") and caller.requests < caller.requests_before / GROWN:
        text = f"{caller.name} got {caller.requests} requests, {caller.requests_before} in the baseline"
        return "behind a hard dependency", text
    return None


MISSES = {State.NEW: why_new, State.SURGING: why_surging, State.SILENT: why_silent}


def why_held(impact: Impact, caller: Caller, *, share_hit: bool) -> tuple[str, str]:
    """Cause and sentence of an edge that was predicted to be touched and was not; `share_hit`: not every pod is hit."""
    if impact.state is State.NOT_OBSERVED:
        counts = f"{impact.fault.established} of {impact.fault.attempts} established, as far as it was seen"
        return "not judged", f"{impact.reason}; {counts}"
    if impact.state is State.ALREADY_BROKEN:
        return "broken before", f"{impact.fault.attempts} attempts failed as those of the baseline did"
    kept_open = impact.baseline.opened_before or impact.fault.opened_before or caller.left_out
    if impact.state is State.NOT_EXERCISED and kept_open and caller.calls("calls") and not caller.calls("connects"):
        received = [one.get("receivedBytes", 0) for one in (caller.bytes_before, caller.bytes_then)]
        again = caller.bytes_then.get("retransmittedSegments", 0)
        return "pool", (
            f"{caller.calls('failed')} of {caller.calls('calls')} calls failed on a connection that stayed open; "
            f"received {received[0]} bytes before, {received[1]} then, {again} segments sent again"
        )
    if impact.state is State.NOT_EXERCISED and caller.calls("connects") == impact.fault.attempts:
        text = f"{caller.name} made {impact.fault.attempts} connects, {impact.baseline.attempts} in the baseline"
        return "too few connects", text
    if impact.state is State.OK and share_hit and impact.fault.attempts < impact.baseline.attempts:
        text = f"{impact.fault.established} connects of the pods that are not hit, {impact.baseline.attempts} before"
        return "other pods", text
    return unexplained(impact)


def unexplained(impact: Impact) -> tuple[str, str]:
    """The counts alone."""
    counts = f"{impact.baseline.established} of {impact.baseline.attempts} before, "
    return UNEXPLAINED, f"{impact.state}: {counts}{impact.fault.established} of {impact.fault.attempts} then"


def why_unharmed(counts: Counts) -> tuple[str, str]:
    """Cause and sentence of an exposed service of which no request failed."""
    failed = sum(count for name, count in counts.items() if name.endswith(" failed"))
    retries = sum(count for name, count in counts.items() if name.endswith(" retries"))
    fallbacks, served = (
        sum(count for name, count in counts.items() if name.endswith(" fallbacks")),
        counts.get("served", 0),
    )
    if failed or retries:
        return "absorbed", f"{failed} calls failed, {retries} retries, {fallbacks} fallbacks; {served} requests served"
    return "not reached", f"none of its calls failed; {served} requests served"


def why_unforeseen(before: Counts, left_out: int) -> tuple[str, str]:
    """Cause and sentence of a service that nobody said was exposed; `before` are its counts of the baseline."""
    called = [name.removesuffix(" calls") for name in sorted(before) if name.endswith(" calls")]
    pooled = [name for name in called if f"{name} connects" not in before]
    if pooled and left_out:
        text = f"the baseline's map left out {left_out} open connections, {before[f'{pooled[0]} calls']} calls of "
        return "pool left out", f"{text}{pooled[0]} went over one"
    return UNEXPLAINED, "no edge of the baseline leads from it to the target"
