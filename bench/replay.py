"""Measures drain and replay: a drain of 100,000 flows, and replay of a capture file.

    python bench/replay.py [--flows 100000] [--rounds 5] [--small] [--json FILE]

The drain is the agent's own, of tables that were filled here instead of by the kernel. Replay is all of `podsonar
replay` except write(2): reading the file, the queries, the answers of a directory of the inventory, every byte of the
body. Best of the rounds. Exit 1 if a budget is missed.
"""

import os
import random
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import orjson

from bench import report
from bench.report import Row
from directory.lookup import Directory
from directory.selection import Selection
from node_agent import replay
from node_agent.capture.files import capture_file
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram, Counts
from node_agent.privileged import bpf_structs
from node_agent.privileged.bpf_structs import Capacity
from podsonar.gc_pause import gc_paused
from podsonar.model import AcceptedFlow, Capture, Flow, Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339

PODS, SERVICES, OTHER_PODS = 250, 2000, 3000
START_NS = 1_795_000_000 * NS_PER_SECOND
WINDOW = Window(START_NS, START_NS + 120 * NS_PER_SECOND)
DRAINED_FLOWS, MIN_PER_SECOND = 100_000, 300_000


def filled_tracer(flows: int) -> AttachedProgram:
    """An attached program without a BPF program, its flow table filled with distinct flows."""
    capacity = Capacity.of({"flows": flows, "accepted": 64, "pending": 64, "recent": 64, "cgroups": 64})
    descriptors = {}
    for name, (entries, entry_bytes) in capacity.maps().items():
        descriptors[name] = os.memfd_create(name)
        os.ftruncate(descriptors[name], entries * entry_bytes)
    tracer = AttachedProgram(descriptors, "none", capacity)
    for number in range(flows):
        address = bpf_structs.packed_address(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
        key = bpf_structs.ENDPOINTS.pack(number % PODS, address, address, (8080).to_bytes(2, "big"), 0, 0)
        bpf_structs.FLOW.pack_into(
            tracer.tables["flows"], number * bpf_structs.FLOW.size, key, 3, 2, 3, 0, 9, 5, 1, 0, 0
        )
    bpf_structs.USED.pack_into(tracer.tables["used"], bpf_structs.USED_FLOWS * bpf_structs.USED.size, flows)
    return tracer


def drain_seconds(flows: int) -> float:
    """Duration of one drain; exits if a flow is missing from it."""
    with filled_tracer(flows) as tracer:
        counts = Counts()
        began = time.perf_counter()
        tracer.drain(counts)
        seconds = time.perf_counter() - began
    if sum(value[0] for value in counts.flows.values()) != 3 * flows:
        raise SystemExit(f"{len(counts.flows)} flows were drained, expected {flows}")
    return seconds


def uid(kind: int, number: int) -> str:
    """A UID of the usual shape, in no order."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind} {number}"))


def pod_address(number: int) -> str:
    """The address of a pod."""
    return f"10.64.{number >> 8}.{number & 255}"


def service_address(number: int) -> str:
    """The ClusterIP of a service."""
    return f"10.96.{number >> 8}.{number & 255}"


def inventory() -> Directory:
    """The directory of a cluster with these pods and services."""
    directory = Directory(Selection())
    since = rfc3339(START_NS - 3600 * NS_PER_SECOND)
    for number in range(PODS + OTHER_PODS):
        meta = {"name": f"pod-{number}", "namespace": "shop", "uid": uid(1, number), "creationTimestamp": since}
        owner = {"kind": "ReplicaSet", "name": "r", "uid": uid(3, number), "controller": True}
        status = {
            "phase": "Running",
            "podIP": pod_address(number),
            "podIPs": [{"ip": pod_address(number)}],
            "startTime": since,
            "containerStatuses": [{"state": {"running": {"startedAt": since}}}],
        }
        node = "node-a" if number < PODS else "node-b"
        pod = {"metadata": {**meta, "ownerReferences": [owner]}, "spec": {"nodeName": node}, "status": status}
        directory.apply("Pod", pod, START_NS - 60 * NS_PER_SECOND)
    for number in range(SERVICES):
        meta = {"name": f"s-{number}", "namespace": "shop", "uid": uid(2, number), "creationTimestamp": since}
        spec = {"clusterIP": service_address(number), "ports": [{"port": 8080}]}
        directory.apply("Service", {"metadata": meta, "spec": spec}, START_NS - 60 * NS_PER_SECOND)
    return directory


def capture(flows: int) -> Capture:
    """A node's window: each pod has connected to services and pods, a few cgroups are no pod's, some accepted."""
    seed = random.Random(7)  # noqa: S311 - made-up traffic
    cgroups: dict[int, tuple[str, ...]] = {
        number: (f"c{number}", f"pod{uid(1, number)}", "besteffort", "kubepods") for number in range(PODS)
    }
    cgroups |= {PODS + number: ("sshd.service", "system.slice") for number in range(3)}
    flow_list = []
    for number in range(flows):
        cgroup, target = number % len(cgroups), number // len(cgroups)
        destination = service_address(target) if target < SERVICES else pod_address(PODS + target % OTHER_PODS)
        port = 8080 + target // (SERVICES + OTHER_PODS)
        first = START_NS + seed.randrange(60 * NS_PER_SECOND)
        last = first + seed.randrange(60 * NS_PER_SECOND)
        attempts, failed = seed.randrange(2, 1000), int(seed.random() < 0.1)
        longest = seed.randrange(30_000, 9_000_000)
        counts = (attempts, attempts - failed, failed, 0, first, last, attempts * longest // 3, longest, 111 * failed)
        flow_list.append(Flow(cgroup, pod_address(cgroup), destination, port, *counts))
    accepted = [
        AcceptedFlow(number, pod_address(number), 8080, pod_address(number + PODS), 5, START_NS, START_NS + 1)
        for number in range(PODS)
    ]
    in_order = sorted(flow_list, key=lambda flow: flow[:4])  # as the agent writes them
    return Capture(WINDOW, "node-a", "bcc:raw_tracepoint", "cgroup", in_order, accepted, cgroups, {})


def time_replay(path: Path, resolve: replay.Resolver) -> dict[str, Any]:
    """Duration of a replay, with the number of connections and bytes of its body."""
    with gc_paused():
        began = time.perf_counter()
        byte_count = sum(map(len, replay.replay(path, resolve).content))
        seconds = time.perf_counter() - began
    body = orjson.loads(b"".join(replay.replay(path, resolve).content))
    return {"seconds": seconds, "connections": len(body["connectionList"]), "bytes": byte_count}


def replay_rows(flows: int, rounds: int) -> list[Row]:
    """Replay with and without an inventory."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        capture_file.write(path, capture(flows))
        for name, resolve in (("with an inventory", inventory().answer), ("without", replay.without_inventory)):
            runs = [time_replay(path, resolve) for _ in range(rounds)]
            best = min(run["seconds"] for run in runs)
            size = f"{runs[0]['connections']:,} connections, {runs[0]['bytes'] / 1e6:.0f} MB"
            text = f"{flows / best:,.0f} flows/s ({best:.2f} s; {size})"
            budget = f"≥ {MIN_PER_SECOND:,}/s", flows / best >= MIN_PER_SECOND
            rows.append(Row(f"replay of {flows:,} flows, {name}", text, *budget, {"runs": runs, "flows": flows}))
    return rows


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--flows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    flows, rounds, drained = (5000, 1, 1000) if given.small else (given.flows, given.rounds, DRAINED_FLOWS)
    best = min(drain_seconds(drained) for _ in range(rounds))
    rows = [Row(f"drain of {drained:,} flows", f"{best:.2f} s", "≤ 1 s", best <= 1, {"seconds": best})]
    return report.finish("drain and replay", [*rows, *replay_rows(flows, rounds)], given.json, about)


if __name__ == "__main__":
    sys.exit(main())
