"""Captures one window on this node: scan open connections, drain the program until the end, detach."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from node_agent.capture import pod_cgroup, process_table, third_witness
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, Counts, wait_grace_period
from node_agent.capture.open_connections import open_sockets, opened_flows, proc_sockets, socket_rows
from node_agent.capture.open_connections.open_sockets import OpenSockets
from node_agent.capture.open_connections.opened_flows import OpenedConnections
from node_agent.capture.own_cgroup import OwnConnect, shows_no_names
from node_agent.capture.volume_sums import NOTHING
from node_agent.capture.window_volume import END_UNSEEN, ENDED_ONLY, NO_ROOM, WHOLE, Handover, OpenVolumes
from node_agent.privileged.bpf_structs import ENDPOINTS, address_text
from podsonar.model import AcceptedFlow, Capture, Flow, Volume, Window, Witness
from podsonar.timestamp import NS_PER_SECOND

LOST = ("flows_full", "unreadable")
MISSED = "program_missed"
UNSEEN = ("unseen_by_program", "accepted_unseen_by_program", "outcome_unseen_by_program")
ACCEPTED_LOST = ("accepted_full",)
OUTCOMES_LOST = ("pending_full", "outcome_full")
VOLUME_LOST = ("kept_full", NO_ROOM, END_UNSEEN)
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
                volume=volume_of(counts, key),
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
                volume=volume_of(counts, key),
            )
        )
    return sorted(flows, key=lambda flow: flow[:4])


def volume_of(counts: Counts, key: bytes) -> Volume | None:
    """Return what the connections of a flow carried; None if volumes are not measured."""
    if not counts.with_volumes:
        return None
    sums = counts.volumes.get(key)
    return sums.volume() if sums else NOTHING


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


def pod_named(names: Mapping[int, tuple[str, ...]], cgroup: int | None) -> str | None:
    """Return the UID of the pod that a cgroup's names show; None if they show none."""
    return pod_cgroup.pod_uid(names.get(cgroup, ())) if cgroup is not None else None


def recent_connections(tracer: AttachedProgram) -> proc_sockets.Recent:
    """Return the connections made since the program was attached; full if there was no room for some of them."""
    connections = tracer.recent()
    return proc_sockets.Recent(connections, full=bool(tracer.counters()["recent_full"]))


def read_open_sockets(tracer: AttachedProgram, node: ObservedNode) -> Iterable[socket_rows.OpenSocket] | None:
    """Yield the sockets of the node's processes, as they are read; None without an iterator that sees them."""
    iterator = tracer.take_socket_iterator() if socket_rows.sees_every_process(node.proc_folder) else None
    return None if iterator is None else socket_rows.read_sockets(iterator)


def scan_open_connections(
    tracer: AttachedProgram, node: ObservedNode, at_ns: int, reading: OpenSockets | None = None
) -> tuple[OpenedConnections, OpenSockets]:
    """Scan the connections open before the window; return also the reading of their sockets.

    By the `reading` at the end of the window before, else by the iterator if it sees the node, else by /proc, where the
    reading is empty. The program stops recording `recent` afterwards.
    """
    try:
        if reading is None and (rows := read_open_sockets(tracer, node)) is not None:
            reading = open_sockets.one_per_socket(rows)
        if reading is not None:
            return opened_flows.scan(tracer, reading, at_ns), reading
        opened = proc_sockets.scan(node.proc_folder, lambda: recent_connections(tracer), at_ns)
        return OpenedConnections(opened.flows, [], opened.left_out, "procfs", opened.not_read), OpenSockets()
    finally:
        tracer.mark_scan_done()


def read_volumes(
    tracer: AttachedProgram, node: ObservedNode, counts: Counts, volumes: OpenVolumes, handover: Handover
) -> str:
    """Read the open connections and detach; return how the volumes were measured. Counting has stopped."""
    wait_grace_period()  # what a program at work keeps is kept by then
    volumes.until_ns = tracer.until_ns
    volumes.keep(*tracer.kept_connections())
    rows = read_open_sockets(tracer, node)
    volumes.before.read_again()
    if rows is not None:
        volumes.read_open(rows)
    tracer.detach()
    handover.until_ns, handover.read_ns = tracer.until_ns, time.monotonic_ns()
    tracer.drain(counts)
    tracer.drain(counts)
    volumes.add_ended(counts)
    if rows is None:
        volumes.end_reading(counts, ())
        return ENDED_ONLY
    still_kept, _more = tracer.kept_connections()
    volumes.end_reading(counts, still_kept)
    volumes.before.names = {**volumes.before.names, **tracer.cgroup_names()}
    handover.sockets = volumes.before
    return WHOLE


def observe(
    tracer: AttachedProgram,
    window: Window,
    node: ObservedNode,
    stop: threading.Event,
    on_drain: Callable[[Counts], None],
    wall_clock_ns: Callable[[], int] = time.time_ns,
    handover: Handover | None = None,
) -> Capture:
    """Return what the attached program counts until its end or `stop`; `on_drain` is called after each drain.

    `handover` has the reading of open connections of the window before, if that ends where this one begins, and gets
    this one's.
    The wall clock is read once: if it steps, the window keeps its length and its times stay inside it.
    """
    wall_offset_ns = wall_clock_ns() - time.monotonic_ns()
    handover = handover or Handover()
    kernel_start = read_witness_of(tracer, node)
    reading, counted_until_ns = handover.take(tracer.from_ns)
    opened, before = scan_open_connections(tracer, node, tracer.from_ns + wall_offset_ns, reading)
    counts = Counts(with_volumes=bool(tracer.capacity.volume))
    volumes = OpenVolumes(before, tracer.from_ns, tracer.until_ns, counted_until_ns)
    own_pod_uid, own_connect = node.own_pod_uid or own_pod(node.proc_folder), None
    while not stop.is_set():
        if own_pod_uid is None and own_connect is None and time.monotonic_ns() >= tracer.from_ns:
            own_connect = OwnConnect.make() if shows_no_names(node.proc_folder) else None
        left_seconds = (tracer.until_ns - time.monotonic_ns()) / NS_PER_SECOND
        if left_seconds <= 0:
            break
        stop.wait(min(left_seconds, node.drain_seconds))
        tracer.drain(counts)
        on_drain(counts)
    tracer.end_now()
    kernel_end = read_witness_of(tracer, node, kernel_start) if kernel_start else None
    witness = third_witness.compare(kernel_start, kernel_end) if kernel_start and kernel_end else None
    volume_by = None
    if counts.with_volumes:
        volume_by = read_volumes(tracer, node, counts, volumes, handover)
    else:
        tracer.detach()
        tracer.drain(counts)
        tracer.drain(counts)
    on_drain(counts)
    totals, names = tracer.counters(), tracer.cgroup_names()
    # The kernel also skips runs of a perf tracepoint while the CPU updates a map, so these may be attempts.
    stages = (*LOST, MISSED) if tracer.tracer == "bcc:tracepoint" else LOST
    own = own_connect.cgroup(counts.flows) if own_connect else None
    older, older_accepted = opened.flows, opened.accepted
    if counts.with_volumes:
        counts.settle_volumes()
        older, older_accepted = volumes.with_volumes(older, older_accepted)
        volumes.lost.update({name: totals[name] for name in VOLUME_LOST})
    flows = older + flow_records(counts, wall_offset_ns)
    accepted = older_accepted + accepted_records(counts, wall_offset_ns)
    capture = Capture(
        window=window,
        node_name=node.name,
        tracer=tracer.tracer,
        identity="cgroup",
        flows=flows,
        accepted=accepted,
        cgroups=cgroup_table((*flows, *accepted), before.names | names),
        lost={name: totals[name] for name in stages if totals[name]},
        own_pod_uid=own_pod_uid or pod_named(names, own),
        own_cgroup=own,
        opened_left_out=opened.left_out,
        opened_by=opened.method,
        opened_not_read=opened.not_read,
        incomplete={name: totals[name] for name in INCOMPLETE if totals[name]},
        missed_runs=0 if MISSED in stages else totals[MISSED],
        accepted_lost={name: totals[name] for name in ACCEPTED_LOST if totals[name]},
        outcomes_lost={name: totals[name] for name in OUTCOMES_LOST if totals[name]},
        volume_by=volume_by,
        volume_lost={name: count for name, count in sorted(volumes.lost.items()) if count},
        witness=witness,
    )
    return with_unseen(capture, witness) if witness else capture


def read_witness_of(
    tracer: AttachedProgram, node: ObservedNode, start: third_witness.NodeReading | None = None
) -> third_witness.NodeReading | None:
    """Return the kernel's counters beside the program's now; None where the node's processes are not seen."""
    if not socket_rows.sees_every_process(node.proc_folder):
        return None
    return third_witness.read_witness(tracer, node.proc_folder, start)


def with_unseen(capture: Capture, witness: Witness) -> Capture:
    """Return the capture with what the program has not seen among its losses, unless it is there for a known reason."""
    known = capture.lost, capture.accepted_lost, capture.outcomes_lost
    lost, accepted_lost, outcomes_lost = (
        {**losses, name: unseen - losses.get(MISSED, 0)} if unseen > losses.get(MISSED, 0) else losses
        for name, losses, unseen in zip(UNSEEN, known, witness.unseen, strict=True)
    )
    return replace(capture, lost=lost, accepted_lost=accepted_lost, outcomes_lost=outcomes_lost)
