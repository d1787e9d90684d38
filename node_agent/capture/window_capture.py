"""Captures one window on this node: scan open connections, drain the program until the end, detach."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node_agent.capture import open_connections, open_sockets, pod_cgroup, process_table
from node_agent.capture.bpf_maps import AttachedProgram, Counts
from node_agent.privileged.bpf_structs import ENDPOINTS, address_text
from podsonar.model import NS_PER_SECOND, AcceptedFlow, Capture, Flow, Window

LOST = ("flows_full", "unreadable")
MISSED = "program_missed"
ACCEPTED_LOST = ("accepted_full",)
OUTCOMES_LOST = ("pending_full", "outcome_full")
INCOMPLETE = ("names_full", "recent_full", "outcome_unmatched")  # nothing is lost, something is known less well


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """Name of the node, the folder of its /proc, and seconds between two drains."""

    name: str
    proc_folder: Path
    drain_seconds: float
    own_pod_uid: str | None = None


def flow_records(counts: Counts, wall_offset_ns: int) -> list[Flow]:
    """Return the flows in wall-clock time, ordered by cgroup, addresses and port."""
    flows = []
    for key, sums in counts.flows.items():
        cgroup, source, destination, port_be, _pad, _more = ENDPOINTS.unpack(key)
        attempts, established, failed, first, last, total, longest, error = sums
        flows.append(
            Flow(
                cgroup,
                address_text(source),
                address_text(destination),
                int.from_bytes(port_be, "big"),
                attempts,
                established,
                failed,
                max(0, attempts - established - failed),
                first + wall_offset_ns,
                last + wall_offset_ns,
                total,
                longest,
                error,
            )
        )
    return sorted(flows, key=lambda flow: flow[:4])


def accepted_records(counts: Counts, wall_offset_ns: int) -> list[AcceptedFlow]:
    """Return the accepted flows in wall-clock time, ordered by cgroup, addresses and port."""
    flows = []
    for key, (accepted, first, last) in counts.accepted.items():
        cgroup, local, remote, port_be, _pad, _more = ENDPOINTS.unpack(key)
        flows.append(
            AcceptedFlow(
                cgroup,
                address_text(local),
                int.from_bytes(port_be, "big"),
                address_text(remote),
                accepted,
                first + wall_offset_ns,
                last + wall_offset_ns,
            )
        )
    return sorted(flows, key=lambda flow: flow[:4])


def cgroup_table(
    records: Iterable[Flow | AcceptedFlow], names: Mapping[int, tuple[str, ...]]
) -> dict[int, tuple[str, ...]]:
    """Return the names of every cgroup with a flow; empty if the kernel side had no room for them."""
    ids = {record.cgroup for record in records} - {0}
    return {cgroup: names.get(cgroup, ()) for cgroup in sorted(ids)}


def own_pod(proc_folder: Path) -> str | None:
    """Return the UID of the pod that this process runs in, as far as its cgroup namespace shows it; else None."""
    try:
        content = (proc_folder / "self" / "cgroup").read_bytes()
    except OSError:
        return None
    owner = pod_cgroup.owner_in_hierarchies(process_table.cgroup_paths(content))
    return owner.uids[0] if owner.uids else None


def recent_connections(tracer: AttachedProgram) -> open_connections.Recent:
    """Return the connections made since the program was attached; full if there was no room for some of them."""
    connections = tracer.recent()
    return open_connections.Recent(connections, full=bool(tracer.counters()["recent_full"]))


def scan_open_connections(tracer: AttachedProgram, node: ObservedNode, at_ns: int) -> open_sockets.OpenedConnections:
    """Scan the connections open before the window, by the iterator if it sees the node, else by /proc.

    The program stops recording `recent` afterwards.
    """
    iterator = tracer.take_socket_iterator() if open_sockets.sees_every_process(node.proc_folder) else None
    try:
        if iterator is not None:
            return open_sockets.scan(tracer, iterator, at_ns)
        opened = open_connections.scan(node.proc_folder, lambda: recent_connections(tracer), at_ns)
        return open_sockets.OpenedConnections(opened.flows, [], opened.left_out, "procfs", opened.not_read)
    finally:
        tracer.mark_scan_done()


def observe(
    tracer: AttachedProgram,
    window: Window,
    node: ObservedNode,
    stop: threading.Event,
    on_drain: Callable[[Counts], None],
    wall_clock_ns: Callable[[], int] = time.time_ns,
) -> Capture:
    """Return what the attached program counts until its end or `stop`; `on_drain` is called after each drain.

    The wall clock is read once: if it steps, the window keeps its length and its times stay inside it.
    """
    wall_offset_ns = wall_clock_ns() - time.monotonic_ns()
    opened = scan_open_connections(tracer, node, tracer.from_ns + wall_offset_ns)
    counts = Counts()
    while not stop.is_set():
        left_seconds = (tracer.until_ns - time.monotonic_ns()) / NS_PER_SECOND
        if left_seconds <= 0:
            break
        stop.wait(min(left_seconds, node.drain_seconds))
        tracer.drain(counts)
        on_drain(counts)
    tracer.end_now()
    tracer.detach()
    tracer.drain(counts)
    tracer.drain(counts)
    on_drain(counts)
    totals = tracer.counters()
    # The kernel also skips runs of a perf tracepoint while the CPU updates a map, so these may be attempts.
    names = (*LOST, MISSED) if tracer.tracer == "bcc:tracepoint" else LOST
    flows = opened.flows + flow_records(counts, wall_offset_ns)
    accepted = opened.accepted + accepted_records(counts, wall_offset_ns)
    return Capture(
        window=window,
        node_name=node.name,
        tracer=tracer.tracer,
        identity="cgroup",
        flows=flows,
        accepted=accepted,
        cgroups=cgroup_table((*flows, *accepted), tracer.cgroup_names()),
        lost={name: totals[name] for name in names if totals[name]},
        own_pod_uid=node.own_pod_uid or own_pod(node.proc_folder),
        opened_left_out=opened.left_out,
        opened_by=opened.method,
        opened_not_read=opened.not_read,
        incomplete={name: totals[name] for name in INCOMPLETE if totals[name]},
        missed_runs=0 if MISSED in names else totals[MISSED],
        accepted_lost={name: totals[name] for name in ACCEPTED_LOST if totals[name]},
        outcomes_lost={name: totals[name] for name in OUTCOMES_LOST if totals[name]},
    )
