"""One window on this node: attach, look at what is open, drain while it lasts, detach; the result is a capture."""

import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node_agent.capture import open_connections, pod_cgroup
from node_agent.capture.bpf_maps import AttachedProgram, Counts
from node_agent.privileged.bpf_structs import ENDPOINTS, address_text
from podsonar.model import NS_PER_SECOND, Accepted, Capture, Flow, Window

LOST = ("flows_full", "unreadable")
MISSED = "program_missed"
ACCEPTED_LOST = ("accepted_full",)
OUTCOMES_LOST = ("pending_full", "outcome_full")


@dataclass(frozen=True, slots=True)
class Node:
    """What an observation has to know of the node it runs on."""

    name: str
    proc_folder: Path
    drain_seconds: float


def pod_of(names: tuple[str, ...]) -> str | None:
    """The pod UID (or static pod's config hash) in the names of a process's cgroup."""
    return pod_cgroup.pod_uid(names)


def flow_records(counts: Counts, wall_offset_ns: int) -> list[Flow]:
    """The window's flows in wall-clock time, in a fixed order."""
    flows = []
    for key, held in counts.flows.items():
        cgroup, source, destination, port_be, _pad, _more = ENDPOINTS.unpack(key)
        attempts, established, failed, first, last, total, longest, error = held
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


def accepted_records(counts: Counts, wall_offset_ns: int) -> list[Accepted]:
    """The window's accepted flows in wall-clock time, in a fixed order."""
    found = []
    for key, (accepted, first, last) in counts.accepted.items():
        cgroup, local, remote, port_be, _pad, _more = ENDPOINTS.unpack(key)
        found.append(
            Accepted(
                cgroup,
                address_text(local),
                int.from_bytes(port_be, "big"),
                address_text(remote),
                accepted,
                first + wall_offset_ns,
                last + wall_offset_ns,
            )
        )
    return sorted(found, key=lambda entry: entry[:4])


def cgroup_table(counts: Counts, names: Mapping[int, tuple[str, ...]]) -> dict[int, tuple[str, ...]]:
    """Names of every cgroup that a flow or an accepted flow belongs to; empty where the kernel had no room for them."""
    ids = {struct.unpack_from("=Q", key)[0] for keys in (counts.flows, counts.accepted) for key in keys}
    return {cgroup: names.get(cgroup, ()) for cgroup in sorted(ids)}


def own_pod(proc_folder: Path) -> str | None:
    """The UID of the pod that this agent runs in; None outside a pod."""
    try:
        lines = (proc_folder / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return None
    found = (pod_of(tuple(name for name in reversed(line.split(":", 2)[2].split("/")) if name)) for line in lines)
    return next((pod for pod in found if pod), None)


def look_at_open(tracer: AttachedProgram, node: Node, at_ns: int) -> open_connections.Opened:
    """Flows open before the window; the kernel side stops remembering single connections afterwards."""
    try:
        return open_connections.look(node.proc_folder, pod_of, tracer.recent, at_ns)
    finally:
        tracer.set_looked()


def observe(
    tracer: AttachedProgram,
    window: Window,
    node: Node,
    stop: threading.Event,
    drained: Callable[[Counts], None],
    wall_clock_ns: Callable[[], int] = time.time_ns,
) -> Capture:
    """What the attached program counts in its time, which `stop` cuts short; `drained` is told after each drain.

    The wall clock is asked once: should it step, the window still lasts as long as it should, and its times stay in it.
    """
    wall_offset_ns = wall_clock_ns() - time.monotonic_ns()
    opened = look_at_open(tracer, node, tracer.from_ns + wall_offset_ns)
    counts = Counts()
    while not stop.is_set():
        left_seconds = (tracer.until_ns - time.monotonic_ns()) / NS_PER_SECOND
        if left_seconds <= 0:
            break
        stop.wait(min(left_seconds, node.drain_seconds))
        tracer.drain(counts)
        drained(counts)
    tracer.end_now()
    tracer.detach()
    tracer.drain(counts)
    tracer.drain(counts)
    drained(counts)
    totals = tracer.counters()
    # A perf tracepoint's runs are skipped on a CPU that is at work on a map, too, so that they may be attempts.
    names = (*LOST, MISSED) if tracer.tracer == "bcc:tracepoint" else LOST
    return Capture(
        window=window,
        node_name=node.name,
        tracer=tracer.tracer,
        identity="cgroup",
        flows=opened.flows + flow_records(counts, wall_offset_ns),
        accepted=accepted_records(counts, wall_offset_ns),
        cgroups=cgroup_table(counts, tracer.cgroup_names()),
        lost={name: totals[name] for name in names if totals[name]},
        own_pod_uid=own_pod(node.proc_folder),
        opened_left_out=opened.left_out,
        missed_runs=0 if MISSED in names else totals[MISSED],
        accepted_lost={name: totals[name] for name in ACCEPTED_LOST if totals[name]},
        outcomes_lost={name: totals[name] for name in OUTCOMES_LOST if totals[name]},
    )
