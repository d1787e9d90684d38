"""One new connection among many, from pushed records to the answer of `diff`.

By hand with `DIFF_CONNECTIONS=1000000 pytest -s`; else fewer, since most of the time is pushing them.
"""

import os
import time
from pathlib import Path
from typing import Any

import httpx

from manager.server import serving
from tests.manager.conftest import Running
from tests.manager.fresh_database import migrated
from tests.manager.shop import connection, inventory, observed, pod, service

CONNECTIONS = int(os.environ.get("DIFF_CONNECTIONS", "10000"))
SERVICES, TARGETS = 500, 10  # 5,000 edges, of which each has its share of the records
PER_BATCH = SERVICES * TARGETS
LATER = {"start": "2026-11-24T10:30:00.000000Z", "end": "2026-11-24T10:31:00.000000Z"}
PLANTED = connection("s-17", "10.1.0.17", "10.96.0.1", 9999, service="s-400", n=1)
SECONDS = 600.0  # for one answer at a million


def ask(client: httpx.Client, url: str, key: str) -> Any:
    """The JSON of an answer; asked again as often as the manager says that it computes other maps."""
    while (answer := client.get(url, headers={"X-API-Key": key})).status_code == 503:
        time.sleep(float(answer.headers["Retry-After"]))
    return answer.raise_for_status().json()


def test_one_new_connection_among_many_is_the_only_difference(tmp_path: Path) -> None:
    """Every record of both windows is on the maps, and of the second one's the single new one is named."""
    names = [f"s-{place}" for place in range(SERVICES)]
    address = [f"10.1.{place >> 8}.{place & 255}" for place in range(SERVICES)]
    lists = {
        "serviceList": [service(name, 80, 80, name, f"10.96.{n >> 8}.{n & 255}") for n, name in enumerate(names)],
        "podList": [pod(name, address[n], f"node-{'ab'[n % 2]}", name) for n, name in enumerate(names)],
    }
    flows = [
        connection(names[n], address[n], "10.96.0.1", 80, service=names[(n + step) % SERVICES], n=1)
        for step in range(1, TARGETS + 1)
        for n in range(SERVICES)
    ]
    database = f"sqlite:///{tmp_path}/manager.db"
    tokens = migrated(database)
    batches, began = CONNECTIONS // PER_BATCH, time.perf_counter()
    with serving(database) as url, httpx.Client(timeout=SECONDS, trust_env=False) as client:
        running = Running(url, database, *tokens)
        for place, window in enumerate(({}, {"window": LATER})):
            bodies = [inventory(lists), observed("node-b", [], []), *[observed("node-a", flows, [])] * batches]
            bodies += [observed("node-a", [PLANTED], [])] if window else []
            for number, body in enumerate(bodies):
                assert running.push(body | window, f"b-{place}-{number}").status_code == 201
        pushed, asked = time.perf_counter() - began, time.perf_counter()
        agent = f"{url}/api/v1/agents/lab"
        found = ask(client, f"{agent}/diff", tokens.key)
        answered = time.perf_counter() - asked
        shown = ask(client, f"{agent}/map", tokens.key)
    assert sum(edge["attempts"] for edge in shown["edges"]) == batches * PER_BATCH + 1
    assert found["notComparable"] == []
    (only,) = found["changes"]
    assert found["counts"] == {"added": 1} | dict.fromkeys(
        ("removed", "failed", "recovered", "changed", "uncertain"), 0
    )
    assert (only["source"], only["destination"], only["port"]) == ("service/shop/s-17", "service/shop/s-400", "9999")
    assert (only["change"], only["now"]["attempts"]) == ("added", 1)
    print(f"2 windows of {batches * PER_BATCH:,} connections: pushed {pushed:.1f} s, diff {answered:.1f} s")  # noqa: T201
