"""`python -m lab.real_cluster up|down|cost` (`make cluster`): two nodes, Podsonar and the sample shop."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from lab.real_cluster.addressing import Layout
from lab.real_cluster.attach import running_cluster
from lab.real_cluster.cluster import RealCluster, down, up
from lab.real_cluster.installed import install, resource_usage, shop
from lab.real_cluster.installed.compare import counts, differences
from lab.real_cluster.installed.shop_pods import next_start, shop_runs, start_shop
from lab.simulated.network import LabError
from podsonar.errors import PodsonarError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

REPORT_SECONDS = 150.0
WINDOW_SECONDS = 30  # of `make cluster`: half a minute saves waiting for a full minute to begin


def report(text: str) -> None:
    """Print a line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's output


def show(cluster: RealCluster, window: str, workloads: tuple[shop.ShopWorkload, ...]) -> list[str]:
    """Report the edges of the window; return the differences from the truth."""
    names = [node.name for node in cluster.layout.nodes]
    found = install.wait_for_map(cluster, window, names, WINDOW_SECONDS + REPORT_SECONDS)
    expected = shop.truth(workloads)
    wrong = differences(expected, found)
    report(f"window {window}:")
    for edge in expected:
        report(f"  {edge.source:>9} → {edge.target}:{edge.port:<6} {counts(edge)}")
    recall = found["recall"]
    report(f"  both ends: recall {recall['value']}, not comparable: {recall['notComparable'] or 'nothing'}")
    return wrong


def observe(cluster: RealCluster, workloads: tuple[shop.ShopWorkload, ...]) -> list[str]:
    """Report the edges of the next window and what observing it cost; return the differences from the truth."""
    start_ns = next_start(time.time_ns(), WINDOW_SECONDS)
    window = Window(start_ns, start_ns + WINDOW_SECONDS * NS_PER_SECOND)
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        measuring = pool.submit(resource_usage.measure, cluster, window, stop)
        try:
            wrong = show(cluster, window.id, workloads)
        finally:
            stop.set()
        used = measuring.result()
    for line in resource_usage.table(used, resource_usage.api_requests(cluster, window), window):
        report(line)
    return wrong


def print_cost() -> int:
    """Print what Podsonar costs the running cluster in one window; return the exit status."""
    cluster = running_cluster(Layout(), report)
    seconds = resource_usage.window_seconds(cluster)
    start_ns = next_start(time.time_ns(), seconds)
    window = Window(start_ns, start_ns + seconds * NS_PER_SECOND)
    used = resource_usage.measure(cluster, window, threading.Event())
    print("\n".join(resource_usage.table(used, resource_usage.api_requests(cluster, window), window)))  # noqa: T201 - a command's output
    cluster.close()
    return 0


def bring_up() -> int:
    """Start the cluster, the shop and Podsonar, compare the map with the truth; return the exit status."""
    began = time.monotonic()
    cluster = up(Layout(), report, install.prepare_images(report))
    workloads = start_shop(cluster, WINDOW_SECONDS)
    cluster.wait_loaded()
    cluster.finish_step("Podsonar's images on the nodes")
    install.install(cluster, install.window_values(WINDOW_SECONDS))
    cluster.finish_step("chart installed, its pods ready")
    cluster.wait("the shop's pods run", lambda: shop_runs(cluster, workloads, WINDOW_SECONDS))
    wrong = observe(cluster, workloads)
    cluster.finish_step("window observed and on the map")
    report(f"up in {time.monotonic() - began:.0f} s; KUBECONFIG={cluster.kubeconfig}")
    print(f"{install.map_url(cluster)}/  key: {install.read_key(cluster)}")  # noqa: T201 - a command's output
    for text in wrong:
        report(f"wrong: {text}")
    cluster.close()
    return 1 if wrong else 0


def main() -> int:
    """Return 0 if the map is the truth (up), nothing is left (down), or the cost was measured (cost)."""
    word = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if word == "up":
            return bring_up()
        if word == "cost":
            return print_cost()
        if word == "down":
            down(Layout())
            return 0
    except (PodsonarError, LabError) as error:
        report(str(error))
        return 1
    report(f"word {word!r}, expected up, down or cost")
    return 2


if __name__ == "__main__":
    sys.exit(main())
