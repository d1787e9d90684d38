"""A window as 3,000 agents push it, a small batch each: what its pages and a pod's take. For `bench/manager.py`."""

import statistics
import time
from contextlib import closing
from typing import Any

import httpx
import msgspec
import orjson

from bench.report import Row
from manager.schema.push_schema import ConnectionsBatch, read_batch
from manager.store.agents import find_agent
from manager.store.batches.writes import store_connections
from manager.store.database import Store
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339, rfc3339
from tests.manager.shop import WINDOW, connection, observed

LATER_NS = 3600 * NS_PER_SECOND
PER_BATCH = 20
PAGE_ROWS, PAGES = 100, 21
MAX_PAGE_MS, MAX_POD_PAGE_MS = 50, 200


def fill_window(database: str, batches: int) -> str:
    """Store a window with so many batches, in one transaction, and return its id; each knows the pod `load`."""
    start_ns = parse_rfc3339(WINDOW["start"]) + LATER_NS
    window = Window(start_ns, start_ns + 60 * NS_PER_SECOND)
    times = {"start": rfc3339(window.start_ns), "end": rfc3339(window.end_ns)}
    names = ["load", *(f"s-{number}" for number in range(1, PER_BATCH))]
    flows = [connection(name, "10.0.0.1", "10.96.0.1", 80, service="s-0", n=3) for name in names]
    batch = read_batch(orjson.dumps(observed("node", flows, []) | {"window": times}))
    if not isinstance(batch, ConnectionsBatch):
        raise SystemExit("bench: the body is no batch of connections")
    with closing(Store(database)) as store:
        agent = find_agent(store, "bench")
        if agent is None:
            raise SystemExit("bench: the agent is not there")
        with store.writing() as connected:
            for number in range(batches):
                of_node = msgspec.structs.replace(batch, node_name=f"node-{number}")
                store_connections(connected, agent.id, f"many-{number}", of_node, time.time_ns())
    return window.id


def measure_pages(person: httpx.Client, database: str, batches: int) -> dict[str, Any]:
    """Milliseconds of pages from the first to the last, of all connections and of a pod's."""
    window = fill_window(database, batches)
    found: dict[str, Any] = {"batches": batches, "connections": batches * PER_BATCH}
    for name, path in (("pages", "connections"), ("podPages", "pods/uid-load/connections")):
        url = f"/api/v1/agents/bench/{path}"
        first = person.get(url, params={"window": window, "page": 0, "limit": 1}).raise_for_status()
        last = max(0, first.json()["page"]["totalItems"] // PAGE_ROWS - 1)
        times = []
        for step in range(PAGES):
            query = {"window": window, "page": str(last * step // (PAGES - 1)), "limit": str(PAGE_ROWS)}
            began = time.perf_counter()
            person.get(url, params=query).raise_for_status()
            times.append(1000 * (time.perf_counter() - began))
        found[f"{name}Ms"], found[f"{name}SlowestMs"] = statistics.median(times), max(times)
    return found


def rows_of_pages(name: str, found: dict[str, Any]) -> list[Row]:
    """The rows of one database."""
    rows = []
    for key, what, most in (("pages", "any page", MAX_PAGE_MS), ("podPages", "any page of a pod's", MAX_POD_PAGE_MS)):
        label = f"{name}: {what}, {found['connections']:,} connections in {found['batches']:,} batches"
        slowest = found[f"{key}SlowestMs"]
        value = f"{found[f'{key}Ms']:.0f} ms, slowest {slowest:.0f} ms"
        rows.append(Row(label, value, f"≤ {most} ms", slowest <= most, found))
    return rows
