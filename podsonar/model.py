"""The values that travel between the stages; their wire shapes are what `wire` returns.

Addresses are text in the canonical form of `ipaddress`, IPv4-mapped IPv6 already unmapped. Times are integer
nanoseconds since the epoch, UTC, in names that end in `_ns`; on the wire they are RFC 3339 with microseconds and `Z`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from podsonar.timestamp import NS_PER_SECOND, rfc3339


class Purpose(NamedTuple):
    """What a window was ordered for: a run of an experiment, and the part of it that the window shows."""

    run: str
    kind: str  # one of `podsonar.window_orders.KINDS`; a newer collector may have others

    def wire(self) -> dict[str, str]:
        """`{"run", "kind"}`."""
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Window:
    """`[start_ns, end_ns)`: a cron tick and the collection minutes after it, or what was ordered for a `purpose`."""

    start_ns: int
    end_ns: int
    purpose: Purpose | None = None

    @property
    def id(self) -> str:
        """The start, RFC 3339 to the second: the window's name on every node."""
        return rfc3339(self.start_ns)[:19] + "Z"

    def wire(self) -> dict[str, Any]:
        """`{"start", "end"}`, as in every body that is pushed; `purpose` beside them where the window was ordered."""
        times = {"start": rfc3339(self.start_ns), "end": rfc3339(self.end_ns)}
        return times | {"purpose": self.purpose.wire()} if self.purpose else times


class Volume(NamedTuple):
    """What the connections of a flow carried in one window; those open longer, by as much as in the window.

    Bytes are payload, each once however often it was sent. `open_ns` is how long they were open in the window, all
    together. Of each connection there is one round-trip time, its last smoothed one; `rtt_histogram` counts them below
    32 µs, then in buckets that double, the 16th without an end; empty buckets at the end are left out. `resets` ended
    otherwise than by a FIN.
    """

    sent_bytes: int
    received_bytes: int
    retransmitted_segments: int
    resets: int
    open_ns: int
    rtt_sum_us: int
    rtt_max_us: int
    rtt_histogram: tuple[int, ...]

    def plus(self, other: "Volume") -> "Volume":
        """Return the volume of both."""
        mine, more = self.rtt_histogram, other.rtt_histogram
        return Volume(
            self.sent_bytes + other.sent_bytes,
            self.received_bytes + other.received_bytes,
            self.retransmitted_segments + other.retransmitted_segments,
            self.resets + other.resets,
            self.open_ns + other.open_ns,
            self.rtt_sum_us + other.rtt_sum_us,
            max(self.rtt_max_us, other.rtt_max_us),
            tuple(left + right for left, right in zip_longest(mine, more, fillvalue=0)),
        )

    def wire(self) -> dict[str, Any]:
        """The `volume` member of a connection or an accepted flow."""
        return {
            "sentBytes": self.sent_bytes,
            "receivedBytes": self.received_bytes,
            "retransmittedSegments": self.retransmitted_segments,
            "resets": self.resets,
            "openSeconds": self.open_ns / NS_PER_SECOND,
            "rttSeconds": {
                "count": sum(self.rtt_histogram),
                "sum": self.rtt_sum_us / 1_000_000,
                "max": self.rtt_max_us / 1_000_000,
                "histogram": self.rtt_histogram,
            },
        }


def sum_of_volumes(first: Volume | None, other: Volume | None) -> Volume | None:
    """Return the volume of both; None only if neither was measured."""
    if first is None or other is None:
        return first or other
    return first.plus(other)


class Flow(NamedTuple):
    """All connect attempts of one window that share source cgroup, source, destination and port.

    `cgroup` is the kernel's id; `pod_uid` is set only for flows that were open before the window, which have no cgroup
    id but a pod found by `/proc`. `last_errno` is 0 where no attempt failed. `unfinished` attempts had not come to an
    end when the window closed.
    """

    cgroup: int
    source: str
    destination: str
    port: int
    attempts: int
    established: int
    failed: int
    unfinished: int
    first_ns: int
    last_ns: int
    handshake_sum_ns: int
    handshake_max_ns: int
    last_errno: int
    opened_before: bool = False
    pod_uid: str | None = None
    volume: Volume | None = None  # None: not measured


class AcceptedFlow(NamedTuple):
    """All connections of one window that one listener accepted from one remote address."""

    cgroup: int
    local: str
    port: int
    remote: str
    accepted: int
    first_ns: int
    last_ns: int
    opened_before: bool = False
    volume: Volume | None = None  # None: not measured


class WitnessCounts(NamedTuple):
    """Connects that sent a SYN, connections accepted, and connects that failed."""

    opens: int = 0
    accepted: int = 0
    failures: int = 0

    def plus(self, other: "WitnessCounts") -> "WitnessCounts":
        """Return the sums."""
        return WitnessCounts(*(own + more for own, more in zip(self, other, strict=True)))

    def negated(self) -> "WitnessCounts":
        """Return the counts with the other sign."""
        return WitnessCounts(*(-own for own in self))

    def minus(self, other: "WitnessCounts") -> "WitnessCounts":
        """Return the differences."""
        return self.plus(other.negated())

    def positive(self) -> "WitnessCounts":
        """Return the counts above 0, and 0 for the others."""
        return WitnessCounts(*(max(0, own) for own in self))

    def wire(self) -> dict[str, int]:
        """The JSON of the counts."""
        return self._asdict()


class Witness(NamedTuple):
    """What the kernel's own counters say of a window, beside the program.

    `namespaces` were compared but for those `not_comparable`, by reason; `agreed` of them had equal counts, in `busy`
    ones there were connections at every reading. `kernel` counted in the window; `unseen` of that the program did not
    (`pods` by pod), `program_only` it counted beyond.
    """

    by: str
    namespaces: int
    agreed: int
    busy: int
    not_comparable: Mapping[str, int]
    kernel: WitnessCounts
    unseen: WitnessCounts
    program_only: WitnessCounts
    pods: Mapping[str, int]

    def wire(self) -> dict[str, Any]:
        """The JSON of the comparison."""
        return {
            "by": self.by,
            "namespaces": self.namespaces,
            "agreed": self.agreed,
            "busy": self.busy,
            "notComparable": dict(self.not_comparable),
            "kernel": self.kernel.wire(),
            "unseen": self.unseen.wire(),
            "programOnly": self.program_only.wire(),
            "pods": dict(self.pods),
        }


@dataclass(frozen=True, slots=True)
class Capture:
    """What one node saw in one window, before anything was resolved: all that replay needs.

    `cgroups` maps a cgroup id to its names, leaf first, up to the pod's. `lost` counts connects per reason that the
    kernel saw but could not record, `accepted_lost` accepted connections, `outcomes_lost` outcomes of attempts that
    are recorded (they stay `unfinished`); `opened_left_out` counts connections open before the window that cannot be
    attributed, `opened_by` is how they were read (`iterator`, `procfs`), `opened_not_read` counts pods and processes
    whose connections could not be read. `incomplete` counts what the kernel side had no room for or met too late
    without losing an attempt: names of cgroups, connections during the scan, outcomes of earlier attempts.
    `own_cgroup` is the agent's own, where only the kernel side shows it. `missed_runs` counts runs of the program
    that the kernel skipped since it interrupted another one: an outcome or an accepted connection each, at most.
    `volume_by` is how volumes were measured (`whole`: connections that ended and those still open; `ended`: the former
    only; None: not), `volume_lost` counts connections whose volume is not whole, by reason. `witness` has the kernel's
    own counters beside the program's; what the program has not seen is in the losses, too.
    `observed` is the part of the window in which the program was attached (None: unknown, or not at all); `gap` says
    why that is not the whole of it.
    """

    window: Window
    node_name: str
    tracer: str
    identity: str
    flows: list[Flow]
    accepted: list[AcceptedFlow]
    cgroups: dict[int, tuple[str, ...]]
    lost: dict[str, int]
    own_pod_uid: str | None = None
    own_cgroup: int | None = None
    observed: Window | None = None
    gap: str | None = None
    accepted_lost: dict[str, int] = field(default_factory=dict)
    outcomes_lost: dict[str, int] = field(default_factory=dict)
    opened_left_out: dict[str, int] = field(default_factory=dict)
    opened_by: str = "procfs"
    opened_not_read: Mapping[str, int] = field(default_factory=dict)
    incomplete: Mapping[str, int] = field(default_factory=dict)
    missed_runs: int = 0
    volume_by: str | None = None
    volume_lost: Mapping[str, int] = field(default_factory=dict)
    witness: Witness | None = None
