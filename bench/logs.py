"""Measures the log service: lines stored per second with a commit before each answer, and how late a tail shows them.

    python bench/logs.py [--lines 200000] [--writers 8] [--per-request 1000] [--rounds 3] [--small] [--json FILE]

A real manager in a process of its own, on SQLite and, if its server is installed, on PostgreSQL. Writers are threads of
one process that send bodies made before the clock starts; the tail's delay is from before the request with the line to
its event, while others write 1,000 lines per second.
"""

import http.client
import secrets
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
import orjson

from bench import report
from bench.manager import running_manager
from bench.report import Row
from manager.store.database import Store
from manager.store.logs.tokens import create_log_token
from tests.manager.postgresql import PostgresqlServer, missing_postgresql

ACCOUNT = "bench"
MIN_PER_SECOND, MAX_TAIL_MS = 20_000, 100
BACKGROUND_SECONDS = 0.1
OUT = 'level=info msg="probe finished" pod=frontend-7d9f attempt={} duration=12.5ms result=ok'


def lines(first: int, number: int) -> list[dict[str, Any]]:
    """Log lines with positions."""
    args = {"PodName": "pod-delete-wm3-d6moyr-vwkng", "PodNamespace": "v2"}
    time_text = "2025-05-01T17:27:56Z"
    return [
        {"level": "info", "pos": pos, "out": OUT.format(pos), "time": time_text, "args": args}
        for pos in range(first, first + number)
    ]


class Writer:
    """One connection that writes one stream."""

    def __init__(self, url: httpx.URL, token: str, key: str) -> None:
        self.connection = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
        self.path = f"/log-service/stream?accountID={ACCOUNT}&key={key}"
        self.headers = {"X-Harness-Token": token}

    def write(self, body: bytes) -> None:
        """Append lines; exit if they were not stored."""
        self.connection.request("PUT", self.path, body, self.headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 204:
            raise SystemExit(f"bench: the log service answered {answer.status}")


def measure_writes(url: httpx.URL, token: str, amounts: tuple[int, int, int]) -> float:
    """Lines stored per second by all writers."""
    total, writers, per_request = amounts
    bodies = [orjson.dumps(lines(1 + n * per_request, per_request)) for n in range(total // writers // per_request)]
    made = [Writer(url, token, f"bench-{secrets.token_hex(6)}") for _ in range(writers)]

    def run(writer: Writer) -> None:
        for body in bodies:
            writer.write(body)

    with ThreadPoolExecutor(writers) as threads:
        began = time.perf_counter()
        list(threads.map(run, made))
        return writers * len(bodies) * per_request / (time.perf_counter() - began)


def measure_tail(url: httpx.URL, token: str, number: int) -> tuple[list[float], list[float]]:
    """Milliseconds from before a request to its line's event, and from its answer, while another stream is written."""
    key = f"tail-{secrets.token_hex(6)}"
    writer, other = Writer(url, token, key), Writer(url, token, f"other-{secrets.token_hex(6)}")
    writer.write(orjson.dumps(lines(1, 1)))
    over = threading.Event()

    def write_other() -> None:
        first = 1
        while not over.wait(BACKGROUND_SECONDS):
            other.write(orjson.dumps(lines(first, 100)))
            first += 100

    background = threading.Thread(target=write_other, daemon=True)
    background.start()
    times, after = [], []
    with (
        httpx.Client(timeout=30, trust_env=False) as client,
        client.stream(
            "GET",
            f"{url}/log-service/stream",
            params={"accountID": ACCOUNT, "key": key},
            headers={"X-Harness-Token": token},
        ) as answer,
    ):
        events = (row for row in answer.iter_lines() if row.startswith("data: "))
        next(events)
        for pos in range(2, 2 + number):
            began = time.perf_counter()
            writer.write(orjson.dumps(lines(pos, 1)))
            answered = time.perf_counter()
            next(events)
            seen = time.perf_counter()
            times.append(1000 * (seen - began))
            after.append(1000 * (seen - answered))
    over.set()
    background.join()
    return sorted(times), sorted(after)


def rows_of(name: str, database: str, amounts: tuple[int, int, int], rounds: int, tails: int) -> list[Row]:
    """The rows of one database."""
    with running_manager(database) as (agent, _person):
        with closing(Store(database)) as store, store.writing() as connection:
            token = create_log_token(connection, ACCOUNT, "", time.time_ns(), secrets.token_bytes)
        url = httpx.URL(str(agent.base_url).rstrip("/"))
        rates = [measure_writes(url, token, amounts) for _ in range(rounds)]
        times, after = measure_tail(url, token, tails)
    place = min(len(times) - 1, len(times) * 99 // 100)
    rate, late = max(rates), times[place]
    what = f"{name}: lines stored, {amounts[1]} writers, {amounts[2]:,} a request"
    stored = Row(what, f"{rate:,.0f}/s", f"≥ {MIN_PER_SECOND:,}/s", rate >= MIN_PER_SECOND, {"rates": rates})
    shown = f"p99 {late:.0f} ms, median {times[len(times) // 2]:.0f} ms of {len(times)}"
    tail = Row(f"{name}: a tail shows a line", shown, f"p99 ≤ {MAX_TAIL_MS} ms", late <= MAX_TAIL_MS)
    part = f"p99 {after[place]:.0f} ms, median {after[len(after) // 2]:.0f} ms"
    return [stored, tail, Row(f"{name}: of that, after the commit's answer", part)]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--per-request", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    amounts = (4_000, 2, 500) if given.small else (given.lines, given.writers, given.per_request)
    rounds, tails = (1, 20) if given.small else (given.rounds, 300)
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_of("SQLite", f"sqlite:///{folder}/manager.db", amounts, rounds, tails)
    if missing := missing_postgresql():
        report.progress(f"bench: this machine lacks {missing}")
    else:
        server = PostgresqlServer(settings={"fsync": "on", "shared_buffers": "128MB"})
        try:
            rows += rows_of("PostgreSQL", server.new_database(), amounts, rounds, tails)
        finally:
            server.remove()
    return report.finish("logs", rows, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
