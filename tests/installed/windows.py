"""Windows of the test cluster: their times, what the map shows of them, and what pods report of their own connects."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.compare import attempts_by_address, map_edges
from lab.real_cluster.installed.shop_pods import next_window, shop_runs
from podsonar.errors import ApiServerError
from podsonar.model import Window
from podsonar.schedule import NS_PER_MINUTE
from podsonar.timestamp import parse_rfc3339

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
REPORT_SECONDS = 120.0
WINDOW_SECONDS = 60
TRIES = 4
QUIET_SECONDS = 60 / 7  # at a window's start and end, in which the shop makes no connect


@dataclass(frozen=True)
class ObservedWindow:
    """A window in which every pod of the shop ran, as the map shows it, and as the pods' own program counted it.

    `made`: attempts by address, by workload; read at once, since a job and its log are gone after ten minutes.
    """

    window: str
    workloads: tuple[shop.ShopWorkload, ...]
    found: dict[str, Any]
    made: dict[str, dict[str, int]]


def next_full_window() -> str:
    """The first window that begins from now on."""
    return next_window(time.time_ns())


def next_shop_window(cluster: RealCluster, workloads: tuple[shop.ShopWorkload, ...]) -> str:
    """The next window, once every pod that connects in it runs: that of its job, too."""
    window = ""

    def runs() -> bool:
        nonlocal window
        window = next_full_window()
        return shop_runs(cluster, workloads) and window == next_full_window()

    cluster.wait("the shop's pods run", runs, 120)
    return window


def observe_window(cluster: RealCluster, workloads: tuple[shop.ShopWorkload, ...]) -> ObservedWindow:
    """Wait for the shop's next window that is observed whole, its map, and the counts of its pods."""
    window, found = wait_for_whole_map(cluster, lambda: next_shop_window(cluster, workloads))
    calling = [workload.name for workload in workloads if workload.calls]
    made = {name: attempts_by_address(lines(cluster, name), window) for name in calling}
    return ObservedWindow(window, workloads, found, made)


def next_after(window: str) -> str:
    """The window that follows a window."""
    return Window(parse_rfc3339(window) + NS_PER_MINUTE, 0).id


def wait_until(window: str, second: float) -> None:
    """Return at that second of the window."""
    time.sleep(max(0.0, (parse_rfc3339(window) - time.time_ns()) / SECOND_NS + second))


def wait_for_window_map(cluster: RealCluster, window: str) -> dict[str, Any]:
    """The map of a window that both nodes have reported."""
    left = max(0.0, (parse_rfc3339(window) + NS_PER_MINUTE - time.time_ns()) / SECOND_NS)
    names = [node.name for node in cluster.layout.nodes]
    return install.wait_for_map(cluster, window, names, left + REPORT_SECONDS)


def wait_for_whole_map(
    cluster: RealCluster, choose: Callable[[], str] = next_full_window
) -> tuple[str, dict[str, Any]]:
    """The next window that both nodes observed whole, and its map: a busy machine may load a tracer late."""
    for _ in range(TRIES):
        window = choose()
        found = wait_for_window_map(cluster, window)
        if {node["observed"] for node in found["coverage"].values()} == {"whole"}:
            return window, found
    raise ApiServerError(f"{found['coverage']} in {window}, expected a whole window in {TRIES}")


def connects_before(count: int, second: float) -> int:
    """The number of a pod's connects to one target before a second of the window."""
    step = (60 - 2 * QUIET_SECONDS) / count
    return sum(QUIET_SECONDS + number * step < second for number in range(count))


def differences_of_partial_window(
    found: dict[str, Any],
    workloads: Iterable[shop.ShopWorkload],
    second: float,
    outside: str,
    except_sources: Container[str] = (),
) -> list[str]:
    """Differences on the map of a window that every node watched until `second`, and perhaps later again.

    Each edge has at least the connects until then and at most those of the window; there is no other edge.
    """
    shown = {
        (edge.source, "outside" if edge.target == outside else edge.target, edge.port): edge
        for edge in map_edges(found).values()
        if edge.source not in except_sources
    }
    lines = []
    for workload in workloads:
        for call in workload.calls:
            edge = shown.pop((workload.name, call.target, call.port), None)
            least, most = connects_before(call.count, second) * workload.pods, call.count * workload.pods
            if edge is None or not least <= edge.attempts <= most or (edge.failed > 0) is not call.refused:
                lines.append(f"{workload.name} → {call.target}: expected {least} to {most} attempts, got {edge}")
    return lines + [f"{edge}: not made" for edge in shown.values()]


def lines(cluster: RealCluster, app: str) -> list[dict[str, Any]]:
    """The lines that the clients of a workload printed."""
    said = cluster.kubectl("-n", shop.NAMESPACE, "logs", "-l", f"app={app}", "-c", "client", "--tail=-1")
    return [orjson.loads(line) for line in said.splitlines() if line.startswith("{")]


def rows(cluster: RealCluster, volume: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of the manager's database, read on the node that has its volume."""
    file = install.volume_folder(cluster.layout.nodes[0], volume) / "podsonar.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def stored_batches(cluster: RealCluster, volume: str) -> Counter[tuple[str, str]]:
    """How many batches of connections the database holds of each window and node."""
    return Counter(rows(cluster, volume, "SELECT window_id, node_name FROM observations"))


def stored_inventories(cluster: RealCluster, volume: str, window: str) -> int:
    """How many whole inventories of that window the database holds."""
    every = rows(cluster, volume, "SELECT start_ns FROM inventories WHERE complete")
    return sum(start_ns == parse_rfc3339(window) for (start_ns,) in every)


def known_names(cluster: RealCluster, plural: str) -> set[str]:
    """The shop's objects of a kind that the manager knows to be there."""
    found = install.read_agent(cluster, f"/{plural}", namespace=shop.NAMESPACE, all="true") or {"items": []}
    return {item["name"] for item in found["items"]}
