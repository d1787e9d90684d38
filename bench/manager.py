"""Measures how fast the manager stores and answers, on SQLite and, if its server is installed, on PostgreSQL.

    python bench/manager.py [--connections 100000] [--services 2000] [--rounds 5] [--small] [--json FILE]

A real manager in a process of its own, real pushes over loopback (gzip, token, commit before 201), four nodes of one
cluster at a time, bodies made before the clock starts; beside it the same records by a bare `executemany` and `COPY`,
without HTTP, schema and checks, packed as the manager packs them. The map has as many services, each with one pod and
five connections; the first answer after a push, then the next ones. Best of the rounds. Then any page of a window that
3,000 agents have pushed, a small batch each.
"""

import gzip
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import orjson
import psycopg

from bench import report
from bench.many_batches import measure_pages, rows_of_pages
from bench.report import REPOSITORY, Row
from lab.controlplane.ports import free_ports
from manager.schema.push_schema import read_batch
from tests.manager.fresh_database import migrated
from tests.manager.postgresql import PostgresqlServer, missing_postgresql
from tests.manager.shop import connection, inventory, observed, pod, service

PER_BATCH, EDGES, NODES = 5000, 5, 4
MIN_PER_SECOND, MAX_MAP_MS, MAX_PAGE_MS = 100_000, 300, 50
PAGE_ROWS, PAGES = 100, 21
BATCHES, SMALL_BATCHES = 3000, 30


def cluster_bodies(services: int) -> list[dict[str, Any]]:
    """An inventory, and one window's connections: `EDGES` from each service's pod to others."""
    listed, pods, flows = [], [], []
    for number in range(services):
        name, address = f"s-{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        listed.append(service(name, 80, 80, name, f"10.96.{number >> 8}.{number & 255}"))
        pods.append(pod(name, address, f"node-{number % 40}", name))
        targets = (f"s-{(number + step * step) % services}" for step in range(1, EDGES + 1))
        flows += [connection(name, address, "10.96.0.1", 80, service=target, n=3) for target in targets]
    return [inventory({"serviceList": listed, "podList": pods}), observed("node-a", flows, [])]


@contextmanager
def running_manager(database: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of an agent and of a person, of a manager in its own process."""
    token, key = migrated(database, "bench")
    (port,) = free_ports(1)
    command = [sys.executable, "-c", "from cli.main import main; main()", "manager", "serve"]
    environment = {**os.environ, "PODSONAR_DATABASE": database, "PODSONAR_LISTEN": f"127.0.0.1:{port}"}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    url, headers = f"http://127.0.0.1:{port}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    try:
        with (
            httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"} | headers, timeout=60) as agent,
            httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=60) as person,
        ):
            while not is_ready(person):
                time.sleep(0.05)
            yield agent, person
    finally:
        process.terminate()
        process.wait(30)


def is_ready(person: httpx.Client) -> bool:
    """Return whether the manager is ready."""
    try:
        return person.get("/readyz").is_success
    except httpx.TransportError:
        return False


def push(agent: httpx.Client, payload: bytes) -> None:
    """Push one batch; exit if it was not stored."""
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    answer = agent.post("/api/v1/collections", content=payload, headers=headers)
    answer.raise_for_status()
    if not answer.json()["stored"]:
        raise SystemExit("bench: a batch was not stored")


def gzip_body(body: dict[str, Any]) -> bytes:
    """A body as it is sent."""
    return gzip.compress(orjson.dumps(body), 6)


def measure(database: str, connections: int, services: int, rounds: int, batches: int) -> dict[str, Any]:
    """Connections stored per second, and milliseconds of the first and the next answer of the map."""
    flows = [connection(f"s-{n}", "10.0.0.1", "10.96.0.1", n % 60000 + 1, n=n) for n in range(PER_BATCH)]
    batch = gzip_body(observed("node-b", flows, []))
    pushes = max(1, connections // PER_BATCH)
    bodies = [gzip_body(body) for body in cluster_bodies(services)]
    with running_manager(database) as (agent, person):
        for body in bodies:
            push(agent, body)
        first, later = [], []
        for _ in range(rounds):
            push(agent, gzip_body(observed("node-c", [], [])))  # what was computed before is out of date
            for times in (first, later):
                began = time.perf_counter()
                found = person.get("/api/v1/agents/bench/map").raise_for_status()
                times.append(1000 * (time.perf_counter() - began))
        seconds, each = [], []

        def timed_push(_number: int) -> float:
            began = time.perf_counter()
            push(agent, batch)
            return time.perf_counter() - began

        with ThreadPoolExecutor(NODES) as nodes:
            for _ in range(rounds):
                began = time.perf_counter()
                each += nodes.map(timed_push, range(pushes))
                seconds.append(time.perf_counter() - began)
        pages, total = page_times(person)
        many = measure_pages(person, database, batches)
    bare = bare_per_second(database, batch, pushes)
    p99_ms = 1000 * sorted(each)[min(len(each) - 1, len(each) * 99 // 100)]
    per_second = pushes * PER_BATCH / min(seconds)
    shown = {"edges": len(found.json()["edges"]), "bytes": len(found.content)}
    shown |= {"bare": bare, "p99Ms": p99_ms, "many": many}
    shown |= {"pageMs": max(pages), "pageMedianMs": statistics.median(pages), "connections": total}
    return {"perSecond": per_second, "firstMs": min(first), "nextMs": min(later), "seconds": seconds, **shown}


def page_times(person: httpx.Client) -> tuple[list[float], int]:
    """Milliseconds of pages from the first to the last of the window's connections, and how many there are."""
    path = "/api/v1/agents/bench/connections"
    total = person.get(path, params={"page": 0, "limit": 1}).raise_for_status().json()["page"]["totalItems"]
    times = []
    for step in range(PAGES):
        query = {"page": (total // PAGE_ROWS - 1) * step // (PAGES - 1), "limit": PAGE_ROWS}
        began = time.perf_counter()
        person.get(path, params=query).raise_for_status()
        times.append(1000 * (time.perf_counter() - began))
    return times, total


def bare_per_second(database: str, payload: bytes, times: int) -> dict[str, float]:
    """Connections per second by the database's own means: one table, one commit per batch."""
    made = read_batch(gzip.decompress(payload))
    rows = [(block.records, block.body) for block in made.connections.blocks]
    found = {}
    if database.startswith("sqlite"):
        with closing(sqlite3.connect(database.removeprefix("sqlite:///") + "-bare", isolation_level=None)) as plain:
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                plain.execute(f"PRAGMA {pragma}").close()
            plain.execute("CREATE TABLE bare (records integer, body blob)")
            began = time.perf_counter()
            for _ in range(times):
                plain.execute("BEGIN IMMEDIATE")
                plain.executemany("INSERT INTO bare VALUES (?, ?)", rows)
                plain.execute("COMMIT")
            found["executemany"] = times * PER_BATCH / (time.perf_counter() - began)
        return found
    with psycopg.connect(database) as server:
        server.execute("CREATE TABLE bare (records integer, body bytea)")
        server.execute("ALTER TABLE bare ALTER COLUMN body SET STORAGE EXTERNAL")
        server.commit()
        began = time.perf_counter()
        for _ in range(times):
            server.cursor().executemany("INSERT INTO bare VALUES (%s, %s)", rows)
            server.commit()
        found["executemany"] = times * PER_BATCH / (time.perf_counter() - began)
        began = time.perf_counter()
        for _ in range(times):
            with server.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT binary)") as copy:
                copy.set_types(["int4", "bytea"])
                for row in rows:
                    copy.write_row(row)
            server.commit()
        found["COPY"] = times * PER_BATCH / (time.perf_counter() - began)
    return found


def rows_of(name: str, found: dict[str, Any], services: int) -> list[Row]:
    """The rows of one database."""
    rate, first, later = found["perSecond"], found["firstMs"], found["nextMs"]
    stored = Row(
        f"{name}: connections stored, p99 of a push of {PER_BATCH:,}",
        f"{rate:,.0f}/s, {found['p99Ms']:.0f} ms",
        f"≥ {MIN_PER_SECOND:,}/s",
        rate >= MIN_PER_SECOND,
        found,
    )
    beside = [
        Row(f"{name}: the same blocks by a bare {way}", f"{bare:,.0f}/s", "", None)
        for way, bare in found["bare"].items()
    ]
    shown = f"{first:.0f} ms, {later:.0f} ms again ({found['edges']:,} edges, {found['bytes'] / 1e6:.1f} MB)"
    budget = f"≤ {MAX_MAP_MS} ms"
    page = f"{found['pageMedianMs']:.0f} ms, slowest {found['pageMs']:.0f} ms"
    label = f"{name}: any page of {found['connections']:,} connections"
    paged = Row(label, page, f"≤ {MAX_PAGE_MS} ms", found["pageMs"] <= MAX_PAGE_MS)
    return [
        stored,
        *beside,
        Row(f"{name}: map of {services:,} services", shown, budget, first <= MAX_MAP_MS),
        paged,
        *rows_of_pages(name, found["many"]),
    ]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--services", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    asked = (given.connections, given.services, given.rounds)
    amounts = (10_000, 50, 1, SMALL_BATCHES) if given.small else (*asked, BATCHES)
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of("SQLite", measure(f"sqlite:///{folder}/manager.db", *amounts), amounts[1])
    if missing := missing_postgresql():
        report.progress(f"bench: this machine lacks {missing}")
    else:
        server = PostgresqlServer(settings={"fsync": "on", "shared_buffers": "128MB"})
        try:
            rows += rows_of("PostgreSQL", measure(server.new_database(), *amounts), amounts[1])
        finally:
            server.remove()
    return report.finish("manager", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
