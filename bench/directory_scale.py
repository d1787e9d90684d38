"""The directory at scale: bytes per pod, the time of `POST /v1/resolve`, and 5,000 agents at the end of one window.

Everything runs here, over loopback: a directory of generated objects behind the real server, queried by a second
process. Prints a table, and with `--json FILE` writes the same figures.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import socket
import statistics
import sys
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson

from cluster_api.client import ApiClient
from collector.directory.live_directory import LiveDirectory
from collector.directory.server import serve
from collector.directory.snapshot_file import write
from directory import snapshot
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.timestamp import NS_PER_SECOND, rfc3339

TOKEN = "t" * 40
SERVICES, NODES, PODS_PER_WORKLOAD = 3000, 2000, 25
BUDGET_BYTES, BUDGET_SECONDS = 400, 0.010
ADDRESSES, QUESTIONS, ROUNDS = 160_000, 300, 201
AGENTS, SPREAD_SECONDS, RETRY_SECONDS, GIVE_UP_SECONDS = 5000, 12.0, 5.0, 120.0
SECONDS_AGO = 3600


def pod_address(number: int) -> str:
    """The address of a pod."""
    return f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def pods(count: int, seed: random.Random, *, dual: bool = False) -> Iterator[dict[str, Any]]:
    """Running pods, 25 per ReplicaSet, with names and UIDs of usual length."""
    since = rfc3339(time.time_ns() - SECONDS_AGO * NS_PER_SECOND)
    for number in range(count):
        workload = number // PODS_PER_WORKLOAD
        owner = {"kind": "ReplicaSet", "name": f"service-{workload}-5d4f8c7b9d", "uid": str(uuid.UUID(int=workload))}
        addresses = [pod_address(number)] + ([f"fd00:64::{number:x}"] if dual else [])
        yield {
            "metadata": {
                "name": f"service-{workload}-5d4f8c7b9d-{seed.randrange(36**5):05x}"[:60],
                "namespace": f"namespace-{workload % 200}",
                "uid": str(uuid.UUID(int=seed.getrandbits(128), version=4)),
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": {"nodeName": f"node-{number % NODES}"},
            "status": {
                "phase": "Running",
                "podIP": addresses[0],
                "podIPs": [{"ip": address} for address in addresses],
                "startTime": since,
                "containerStatuses": [{"state": {"running": {"startedAt": since}}}],
            },
        }


def services_and_nodes() -> Iterator[tuple[str, dict[str, Any]]]:
    """`(kind, object)` of every service and node."""
    since = rfc3339(time.time_ns() - SECONDS_AGO * NS_PER_SECOND)
    for number in range(SERVICES):
        meta = {"name": f"service-{number}", "namespace": "shop", "uid": f"s-{number}", "creationTimestamp": since}
        yield (
            "Service",
            {
                "metadata": meta,
                "spec": {"clusterIP": f"10.32.{number >> 8}.{number & 255}", "ports": [{"port": 8080}]},
            },
        )
    for number in range(NODES):
        address = {"type": "InternalIP", "address": f"10.16.{number >> 8}.{number & 255}"}
        yield (
            "Node",
            {
                "metadata": {"name": f"node-{number}", "uid": f"n-{number}", "creationTimestamp": since},
                "spec": {"podCIDR": f"10.{64 + (number >> 8)}.{number & 255}.0/24"},
                "status": {"addresses": [address]},
            },
        )


def resident_bytes() -> int:
    """Resident memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def memory(count: int, *, dual: bool, traced: bool) -> dict[str, float]:
    """Bytes per pod of a directory of pods alone: by tracemalloc, or (which tracemalloc would disturb) by RSS."""
    directory = Directory(Selection())
    gc.collect()
    resident = resident_bytes()
    if traced:
        tracemalloc.start()
    began = time.perf_counter()
    at_ns = time.time_ns()
    for pod in pods(count, random.Random(7), dual=dual):  # noqa: S311 - made-up objects
        directory.apply("Pod", pod, at_ns)
    seconds = time.perf_counter() - began
    gc.collect()
    if traced:
        return {"traced": tracemalloc.get_traced_memory()[0] / count}
    return {"pods": count, "rss": (resident_bytes() - resident) / count, "seconds": seconds}


def in_new_process(job: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any job
    """The job's result, computed in a new process: memory of an earlier job does not count."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(job, arguments, named)


def full_directory(addresses: int) -> LiveDirectory:
    """A live directory that is complete up to the present, as if followed."""
    live = LiveDirectory(ApiClient.__new__(ApiClient), Directory(Selection()), None, 60.0)
    at_ns = time.time_ns()
    for kind, obj in services_and_nodes():
        live.directory.apply(kind, obj, at_ns - SECONDS_AGO * NS_PER_SECOND)
    for pod in pods(addresses - SERVICES - NODES, random.Random(7)):  # noqa: S311
        live.directory.apply("Pod", pod, at_ns)
    live.whole = set(live.reflectors)
    live.through_ns = dict.fromkeys(live.reflectors, at_ns + 3600 * NS_PER_SECOND)
    return live


def resolve_request(count: int, seed: random.Random, total: int) -> bytes:
    """An agent's request body: services, pods, and some addresses that nothing owns."""
    now_ns = time.time_ns()
    queries: list[dict[str, Any]] = []
    for _ in range(count):
        drawn = seed.random()
        if drawn < 0.4:
            number = seed.randrange(SERVICES)
            address = f"10.32.{number >> 8}.{number & 255}"
        elif drawn < 0.9:
            address = pod_address(seed.randrange(total - SERVICES - NODES))
        else:
            address = f"198.51.100.{seed.randrange(256)}"
        begin_ns = now_ns - seed.randrange(60, 180) * NS_PER_SECOND
        end_ns = begin_ns + seed.randrange(40 * NS_PER_SECOND)
        queries.append({"address": address, "port": 8080, "from": rfc3339(begin_ns), "to": rfc3339(end_ns)})
    return orjson.dumps({"queries": queries})


def time_requests(port: int, total: int, rounds: int) -> dict[str, float]:
    """Medians of paired requests: 300 queries, and none."""
    seed = random.Random(11)  # noqa: S311
    headers = {"Authorization": f"Token {TOKEN}"}
    spent: dict[int, list[float]] = {QUESTIONS: [], 0: []}
    kinds: dict[str, int] = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        for _ in range(rounds):
            for count, times in spent.items():
                body = resolve_request(count, seed, total)
                began = time.perf_counter()
                answer = client.post("/v1/resolve", content=body)
                times.append(time.perf_counter() - began)
                for item in answer.raise_for_status().json()["answers"]:
                    kinds[item["kind"]] = kinds.get(item["kind"], 0) + 1
    full_seconds, empty_seconds = statistics.median(spent[QUESTIONS]), statistics.median(spent[0])
    p99 = statistics.quantiles(spent[QUESTIONS], n=100)[98]
    return {"seconds": full_seconds, "empty": empty_seconds, "p99": p99, **{f"kind {k}": n for k, n in kinds.items()}}


async def agent(port: int, body: bytes, delay_seconds: float) -> tuple[float, int]:
    """Seconds of one agent from its first try to its answer, and the number of tries; it retries as agents do."""
    await asyncio.sleep(delay_seconds)
    began, tries = time.perf_counter(), 0
    head = f"POST /v1/resolve HTTP/1.1\r\nHost: d\r\nAuthorization: Token {TOKEN}\r\nConnection: close\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    while time.perf_counter() - began < GIVE_UP_SECONDS:
        tries += 1
        try:
            async with asyncio.timeout(30):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            answer = b""
        if answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}"):
            return time.perf_counter() - began, tries
        await asyncio.sleep(RETRY_SECONDS)
    return float("inf"), tries


async def fleet(port: int, total: int) -> dict[str, float]:
    """5,000 agents that send their request within the spread of a two-minute window."""
    seed = random.Random(13)  # noqa: S311
    bodies = [resolve_request(QUESTIONS, seed, total) for _ in range(50)]
    jobs = [agent(port, seed.choice(bodies), seed.uniform(0, SPREAD_SECONDS)) for _ in range(AGENTS)]
    results = await asyncio.gather(*jobs)
    waits = sorted(seconds for seconds, _tries in results)
    return {
        "answered": sum(seconds < GIVE_UP_SECONDS + 60 for seconds in waits),
        "tries": sum(tries for _seconds, tries in results),
        "p50": waits[len(waits) // 2],
        "p99": waits[len(waits) * 99 // 100],
        "max": waits[-1],
    }


def run_clients(port: int, total: int, rounds: int) -> dict[str, dict[str, float]]:
    """Both measurements, run in the clients' process."""
    return {"resolve": time_requests(port, total, rounds), "fleet": asyncio.run(fleet(port, total))}


def time_save(live: LiveDirectory, path: Path) -> dict[str, float]:
    """Duration and size of one save of the directory."""
    began = time.perf_counter()
    with live.lock:
        state = snapshot.state_of(live.directory, dict(live.through_ns), time.time_ns())
    locked = time.perf_counter() - began
    write(path, state)
    return {"locked": locked, "seconds": time.perf_counter() - began, "bytes": path.stat().st_size}


def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """All figures."""
    found: dict[str, Any] = {}
    for name, dual in (("memory", False), ("memory dual stack", True)):
        found[name] = {}
        for traced in (True, False):
            found[name] |= in_new_process(memory, 100_000, dual=dual, traced=traced)
    live = full_directory(ADDRESSES)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = serve(live, lambda: TOKEN, f"127.0.0.1:{port}")
    while not server.started:
        time.sleep(0.01)
    found |= in_new_process(run_clients, port, ADDRESSES, rounds)
    server.should_exit = True
    found["save"] = time_save(live, folder / "intervals")
    return found


def rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """`(what, value, verdict)` of every row."""
    single, dual, resolve, many, save = (
        found[key] for key in ("memory", "memory dual stack", "resolve", "fleet", "save")
    )
    met = "met" if single["traced"] <= BUDGET_BYTES else "NOT met"
    yield "memory per pod, 100,000 pods", f"{single['traced']:.0f} bytes ({single['rss']:.0f} by RSS)", f"≤ 400: {met}"
    yield "the same with two addresses each", f"{dual['traced']:.0f} bytes ({dual['rss']:.0f} by RSS)", ""
    met = "met" if resolve["seconds"] <= BUDGET_SECONDS else "NOT met"
    yield (
        "300 questions, 160,000 addresses",
        f"{resolve['seconds'] * 1000:.2f} ms (p99 {resolve['p99'] * 1000:.2f})",
        f"≤ 10 ms: {met}",
    )
    yield "the same request with none", f"{resolve['empty'] * 1000:.2f} ms", ""
    met = "met" if many["answered"] == AGENTS else "NOT met"
    yield (
        f"{AGENTS} agents within {SPREAD_SECONDS:.0f} s",
        f"{many['answered']} answered, {many['tries']} tries",
        f"all: {met}",
    )
    yield "… wait for the answer", f"p50 {many['p50']:.2f} s, p99 {many['p99']:.2f} s, max {many['max']:.2f} s", ""
    yield (
        "save of the intervals",
        f"{save['seconds']:.2f} s ({save['locked']:.2f} locked), {save['bytes'] / 1e6:.1f} MB",
        "",
    )


def main() -> int:
    """Measure and print; return 1 if a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/podsonar-bench"))  # noqa: S108
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    found = measure(arguments.rounds, arguments.folder)
    table = list(rows(found))
    for what, much, verdict in table:
        print(f"{what:36} {much:44} {verdict}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if any("NOT" in verdict for _what, _much, verdict in table) else 0


if __name__ == "__main__":
    sys.exit(main())
