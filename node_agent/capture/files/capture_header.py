"""The header of a capture file: everything in a capture but its records."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from node_agent.capture.files import capture_volumes
from podsonar.model import Capture, Purpose, Window, Witness, WitnessCounts

# Read, too: version 2 has no volumes, version 1 moreover no accepted flows from before the window.
FORMAT, VERSION = "podsonar-capture", 3
MOST = (1 << 63) - 1  # of a count, or of a time in nanoseconds
Count = Annotated[int, Meta(ge=0, le=MOST)]
Counts = dict[str, Count]
Id = Annotated[int, Meta(ge=0)]
Text = Annotated[str, Meta(max_length=4096)]


class PurposeHeader(msgspec.Struct, frozen=True):
    """What a window on order was for."""

    run: Text
    kind: Text


class WindowTimes(msgspec.Struct, frozen=True, rename="camel"):
    """A window in the header, in nanoseconds since the epoch."""

    start_ns: Count
    end_ns: Count
    purpose: PurposeHeader | None = None

    def window(self) -> Window:
        """Return the window."""
        purpose = Purpose(self.purpose.run, self.purpose.kind) if self.purpose else None
        return Window(self.start_ns, self.end_ns, purpose)


class WitnessCountsHeader(msgspec.Struct, frozen=True):
    """Counts of the third witness in the header."""

    opens: int
    accepted: int
    failures: int

    def counts(self) -> WitnessCounts:
        """Return the counts."""
        return WitnessCounts(self.opens, self.accepted, self.failures)


class WitnessHeader(msgspec.Struct, frozen=True, rename="camel"):
    """The third witness in the header, in the shape in which it is pushed."""

    by: Text
    namespaces: Count
    agreed: Count
    busy: Count
    not_comparable: Counts
    kernel: WitnessCountsHeader
    unseen: WitnessCountsHeader
    program_only: WitnessCountsHeader
    pods: Counts

    def witness(self) -> Witness:
        """Return the value."""
        counts = self.kernel.counts(), self.unseen.counts(), self.program_only.counts()
        return Witness(self.by, self.namespaces, self.agreed, self.busy, self.not_comparable, *counts, self.pods)


class CaptureHeader(msgspec.Struct, frozen=True, rename="camel"):
    """Everything in a capture but its records; what has a default is absent in files of version 1."""

    format: Literal["podsonar-capture"]
    version: Literal[1, 2, 3]
    window: WindowTimes
    node_name: Text
    tracer: Text
    identity: Text
    own_pod_uid: Text | None
    lost: Counts
    cgroups: list[tuple[Id, tuple[Text, ...]]]
    pods: list[Text]
    flows: Count
    accepted: Count
    own_cgroup: Id | None = None
    accepted_lost: Counts = {}
    outcomes_lost: Counts = {}
    missed_runs: Count = 0
    opened_left_out: Counts = {}
    opened_not_read: Counts = {}
    incomplete: Counts = {}
    opened_by: Text = "procfs"
    observed: WindowTimes | None = None
    gap: Text | None = None
    volumes: Count = 0
    volume_by: Text | None = None
    volume_lost: Counts = {}
    witness: WitnessHeader | None = None


def window_times(window: Window) -> dict[str, Any]:
    """Return a window in the form of the header; other readers leave its purpose out."""
    times = {"startNs": window.start_ns, "endNs": window.end_ns}
    return times | {"purpose": window.purpose.wire()} if window.purpose else times


def header_of(capture: Capture, pods: list[str]) -> dict[str, Any]:
    """Return the header: everything but the records."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "window": window_times(capture.window),
        "nodeName": capture.node_name,
        "tracer": capture.tracer,
        "identity": capture.identity,
        "ownPodUid": capture.own_pod_uid,
        **({} if capture.own_cgroup is None else {"ownCgroup": capture.own_cgroup}),
        "lost": dict(sorted(capture.lost.items())),
        "acceptedLost": dict(sorted(capture.accepted_lost.items())),
        "outcomesLost": dict(sorted(capture.outcomes_lost.items())),
        "missedRuns": capture.missed_runs,
        "openedLeftOut": dict(sorted(capture.opened_left_out.items())),
        "openedNotRead": dict(sorted(capture.opened_not_read.items())),
        "incomplete": dict(sorted(capture.incomplete.items())),
        "openedBy": capture.opened_by,
        "observed": window_times(capture.observed) if capture.observed else None,
        "gap": capture.gap,
        "cgroups": [[cgroup, list(names)] for cgroup, names in sorted(capture.cgroups.items())],
        "pods": pods,
        "flows": len(capture.flows),
        "accepted": len(capture.accepted),
        "volumes": len(capture_volumes.measured(capture)),
        "volumeBy": capture.volume_by,
        "volumeLost": dict(sorted(capture.volume_lost.items())),
        "witness": capture.witness.wire() if capture.witness else None,
    }
