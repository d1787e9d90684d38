"""Real programs under load: connects and bytes of every edge are what their servers counted themselves."""

import gzip
import re
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install
from lab.real_cluster.installed.compare import workload_name
from podsonar.errors import ApiServerError
from podsonar.timestamp import parse_rfc3339
from tests.installed.conftest import STORE
from tests.installed.pods import real_programs, server_counters
from tests.installed.pods.real_programs import DATABASES, HELD, NAMESPACE, PODS, run
from tests.installed.pods.server_counters import Counted, Counters
from tests.installed.windows import (
    SECOND_NS,
    WINDOW_SECONDS,
    next_full_window,
    rows,
    wait_for_window_map,
    wait_until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(420)]

Edge = tuple[str, str, int]
TRIES = 3  # windows, if the machine is too busy to end all loads within the first
LOADS = {
    "pgbench-pooled": "pgbench -h postgres -U postgres -n -S -c 11 -t 53 pooled",
    "pgbench-single": "pgbench -h postgres -U postgres -n -S -C -c 5 -t 41 single",
    "redis-benchmark": "redis-benchmark -q -h redis -n 2003 -c 7 -d 101 -t set,get;"
    " redis-benchmark -q -h redis -n 211 -c 7 -k 0 -t get",
    "ab": "ab -q -n 307 -c 5 http://haproxy:8081/; ab -q -k -n 1009 -c 7 http://haproxy:8082/",
}
LEAST = {"pgbench-pooled": 11, "pgbench-single": 205, "redis-benchmark": 211, "ab": 7, "haproxy": 307}
UNTIL = "timeout 180 sh -c 'until {} >/dev/null 2>&1; do sleep 0.1; done'"
READY = {
    "postgres": 'psql -h /tmp -U postgres -c "SELECT 1"',
    "redis": "redis-cli -s /tmp/redis.sock ping",
    "nginx": "[ -S /tmp/nginx.sock ]",
    "haproxy": "[ -S /tmp/haproxy.sock ]",
}
REACHED = {
    "pgbench-pooled": "pgbench -h postgres -U postgres -n -S -t 1 pooled",
    "pgbench-single": "pgbench -h postgres -U postgres -n -S -t 1 single",
    "redis-benchmark": "redis-cli -h redis ping",
    "ab": "ab -q -n 1 http://haproxy:8081/ && ab -q -n 1 http://haproxy:8082/",
}


class Carried(NamedTuple):
    """What one end of connections recorded: how many, of how many the bytes are known, bytes received and sent.

    A kernel skips a program now and then where an interrupt ends a connection (docs/decisions/0014-missed-runs.md):
    then the bytes of that one are missing at that end.
    """

    connections: int = 0
    measured: int = 0
    received: int = 0
    sent: int = 0

    def plus(self, connections: int, volume: dict[str, Any]) -> "Carried":
        """These and those of another record."""
        measured = volume["rttSeconds"]["count"]
        more = (connections, measured, volume["receivedBytes"], volume["sentBytes"])
        return Carried(*(own + other for own, other in zip(self, more, strict=True)))


@dataclass(frozen=True)
class Course:
    """A window in which every load began and ended: what servers counted, and what was observed of it."""

    counted: dict[Edge, Counted]
    edges: dict[Edge, dict[str, Any]]
    accepted: dict[tuple[str, int, bool], Carried]
    observation: dict[str, Any]
    said: dict[str, str]
    logins: dict[str, int]


def start(cluster: RealCluster) -> None:
    """Return when every server is reached by its clients, and the old pool is open."""
    cluster.apply(real_programs.objects(cluster))

    def all_run() -> bool:
        pods = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        return sum(pod["status"].get("phase") == "Running" for pod in pods) == len(PODS)

    cluster.wait("the real programs run", all_run, 180)
    for name, command in READY.items():
        run(cluster, name, UNTIL.format(command))
    made = "; ".join(f"createdb -h /tmp -U postgres {name}" for name in DATABASES)
    tables = "; ".join(f"pgbench -h /tmp -U postgres -q -i {name}" for name in ("pooled", "single"))
    run(cluster, "postgres", f"{made}; {tables}")
    for name, command in REACHED.items():
        run(cluster, name, UNTIL.format(command))
    wait_for_old_pool_alone(cluster)


def wait_for_old_pool_alone(cluster: RealCluster) -> None:
    """Return when PostgreSQL has no session but those of the old pool, and no server any other connection.

    What HAProxy keeps to nginx would otherwise carry requests of a window and be none of its connections.
    """

    def alone() -> bool:
        sessions, sockets = server_counters.open_sessions(cluster), server_counters.open_sockets(cluster)
        return (sessions, sockets) == ({"before": HELD}, {"postgres": HELD})

    cluster.wait("the old pool alone is open", alone)


def run_loads(cluster: RealCluster) -> tuple[str, Counters, Counters, dict[str, str]]:
    """The window in which all loads began and ended, the servers' counters before and after, what clients printed."""
    for _ in range(TRIES):
        before = server_counters.read(cluster)
        window = next_full_window()
        wait_until(window, 1)
        with ThreadPoolExecutor() as pool:
            said = dict(zip(LOADS, pool.map(lambda pair: run(cluster, *pair), LOADS.items()), strict=True))
        wait_for_old_pool_alone(cluster)
        ended_ns = time.time_ns()
        after = server_counters.read(cluster)
        if ended_ns < parse_rfc3339(window) + (WINDOW_SECONDS - 1) * SECOND_NS:
            return window, before, after, said
    raise ApiServerError(f"the loads took longer than {WINDOW_SECONDS} s in {TRIES} windows, expected them within one")


def map_edges(found: dict[str, Any]) -> dict[Edge, dict[str, Any]]:
    """The edges between pods of the namespace, by client, server and port."""
    places = {place["id"]: place for place in found["services"]}
    return {
        (workload_name(places[edge["source"]]), workload_name(places[edge["destination"]]), int(edge["port"])): edge
        for edge in found["edges"]
        if {places[edge[end]]["namespace"] for end in ("source", "destination")} == {NAMESPACE}
    }


def accepted_by(cluster: RealCluster, window: str) -> dict[tuple[str, int, bool], Carried]:
    """What the accepting ends recorded by pod, port, and whether it was open before; from any client."""
    pods = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
    names = {pod["metadata"]["uid"]: pod["metadata"]["labels"]["app"] for pod in pods}
    query = "SELECT window_id, body FROM record_blocks JOIN observations USING (agent_id, batch_id) WHERE side = 1"
    found: dict[tuple[str, int, bool], Carried] = {}
    for window_id, body in rows(cluster, STORE, query):
        for one in orjson.loads(gzip.decompress(body)) if window_id == window else ():
            if one["pod"]["uid"] in names:
                key = names[one["pod"]["uid"]], int(one["localPort"]), bool(one.get("openedBefore"))
                found[key] = found.get(key, Carried()).plus(one["accepted"], one["volume"])
    return found


@pytest.fixture(scope="module")
def course(installed: RealCluster, programs: None) -> Iterator[Course]:
    """One window of all loads, as observed on both nodes."""
    start(installed)
    window, before, after, said = run_loads(installed)
    wait_for_window_map(installed, window)

    def all_known() -> bool:
        listed = install.read_agent(installed, "/pods", namespace=NAMESPACE, all="true") or {"items": []}
        return len(listed["items"]) >= len(PODS)

    installed.wait("the manager knows the pods", all_known)
    found = install.read_map(installed, window, NAMESPACE) or {}
    counted = server_counters.counted_between(before, after)
    logins = {name: after["postgres"][f"logins {name}"] - before["postgres"][f"logins {name}"] for name in DATABASES}
    edges, accepted = map_edges(found), accepted_by(installed, window)
    yield Course(counted, edges, accepted, found["observation"], said, logins)
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_connects_of_every_edge_are_what_its_server_counted(course: Course) -> None:
    """By `pg_stat_database`, `INFO`, `stub_status` and HAProxy's statistics; there is no edge beside these."""
    assert {key: edge["attempts"] for key, edge in course.edges.items()} == {
        key: counted.connections for key, counted in course.counted.items()
    }
    for (client, _server, _port), counted in course.counted.items():
        assert counted.connections >= LEAST.get(client, 0), client


def test_bytes_of_every_edge_are_what_its_server_counted(course: Course) -> None:
    """At both ends, to the byte, where the ends of all connections were seen; less where some were not."""
    whole = 0
    for (client, server, port), counted in course.counted.items():
        if counted.received is None or counted.sent is None:
            continue
        edge = course.edges[client, server, port]
        made, taken = Carried().plus(edge["attempts"], edge["volume"]), course.accepted[server, port, False]
        for end in (made._replace(received=made.sent, sent=made.received), taken):
            if end.measured == counted.connections:
                assert (end.received, end.sent) == (counted.received, counted.sent), (client, server, port, end)
                whole += 1
            else:
                assert end.received <= counted.received, (client, server, port, end)
                assert end.sent <= counted.sent, (client, server, port, end)
    assert whole > 0


def test_accepting_ends_took_what_the_clients_made(course: Course) -> None:
    """By pod and port, from whichever address; what the program did not see, the kernel's own counters have shown."""
    made: Counter[tuple[str, int]] = Counter()
    for (_client, server, port), counted in course.counted.items():
        made[server, port] += counted.connections
    taken = Counter({key[:2]: one.connections for key, one in course.accepted.items() if not key[2]})
    unseen = max(one["witness"]["unseen"]["accepted"] for one in course.observation.values())
    assert not taken - made
    assert (made - taken).total() <= unseen


def test_bytes_of_postgresql_are_the_same_at_both_ends(course: Course) -> None:
    """It counts none itself: what all clients sent is what it received, where every connection's end was seen."""
    made = Carried()
    for (_client, server, _port), edge in course.edges.items():
        if server == "postgres" and not edge["openedBefore"]:
            made = made.plus(edge["attempts"], edge["volume"])
    taken = course.accepted["postgres", 5432, False]
    whole = made.measured == made.connections == taken.measured
    assert not whole or (made.sent, made.received) == (taken.received, taken.sent)
    assert made.sent > 0 < taken.sent


def test_pool_from_before_the_window_is_open_at_both_ends(course: Course) -> None:
    """Its connections are no attempts, and carry the bytes of their queries."""
    edge = course.edges["pgbench-before", "postgres", 5432]
    assert (edge["attempts"], edge["established"], edge["openedBefore"]) == (0, HELD, True)
    assert course.accepted["postgres", 5432, True].connections == HELD
    assert edge["volume"]["sentBytes"] > 0


def test_clients_counted_the_same(course: Course) -> None:
    """By ApacheBench, the bytes that it received; by PostgreSQL's log, one login per session."""
    received = [int(number) for number in re.findall(r"Total transferred:\s+(\d+) bytes", course.said["ab"])]
    assert received == [course.counted["ab", "haproxy", port].sent for port in (8081, 8082)]
    sessions = {client.removeprefix("pgbench-"): edge["attempts"] for (client, *_), edge in course.edges.items()}
    assert course.logins == {name: sessions[name] for name in DATABASES}


def test_no_connect_was_lost(course: Course) -> None:
    """On either node, whatever else the machine did in that window."""
    for observation in course.observation.values():
        assert set(observation["lost"]) <= {"program_missed"}
