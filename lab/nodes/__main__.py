"""`python -m lab.nodes up|down` (`make cluster`): two nodes with Podsonar and the sample shop, and the end of it."""

import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from discovery.errors import PodsonarError
from discovery.records import Window
from lab.network import LabError
from lab.nodes import install, shop
from lab.nodes.cluster import Cluster, down, up
from lab.nodes.comparison import counts, differences
from lab.nodes.layout import Layout

MINUTE_NS = 60_000_000_000
REPORT_SECONDS = 150.0


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command's output


def start_shop(cluster: Cluster) -> tuple[shop.Workload, ...]:
    """The shop's pods are made."""
    workloads = shop.workloads(cluster.layout.size)
    cluster.apply(shop.objects(workloads, cluster.layout.outside))
    return workloads


def shop_runs(cluster: Cluster, workloads: tuple[shop.Workload, ...]) -> bool:
    """Whether every pod of the shop runs, and a job that makes its connects in the next minute."""
    pods = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods")["items"]
    running = Counter(pod["metadata"]["labels"]["app"] for pod in pods if pod["status"].get("phase") == "Running")
    return all(running[one.name] >= one.pods for one in workloads)


def next_window(now_ns: int) -> str:
    """The id of the first window that begins from now on."""
    return Window((now_ns // MINUTE_NS + 1) * MINUTE_NS, 0).id


def show(cluster: Cluster, window: str, workloads: tuple[shop.Workload, ...]) -> list[str]:
    """Prints the edges of the window; what differs from the truth."""
    names = [node.name for node in cluster.layout.nodes]
    until_end = MINUTE_NS // 1_000_000_000
    found = install.wait_for_map(cluster, window, names, until_end + REPORT_SECONDS)
    expected = shop.truth(workloads)
    wrong = differences(expected, found)
    say(f"window {window}:")
    for edge in expected:
        say(f"  {edge.source:>9} → {edge.target}:{edge.port:<6} {counts(edge)}")
    recall = found["recall"]
    say(f"  both ends: recall {recall['value']}, not comparable: {recall['notComparable'] or 'nothing'}")
    return wrong


def bring_up() -> int:
    """Everything from nothing to a map that is the truth."""
    began = time.monotonic()
    archives = install.podsonar_images(say)
    cluster = up(Layout(), say)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(cluster.load, archives)
        workloads = start_shop(cluster)
        loading.result()
    cluster.done("Podsonar's images on the nodes")
    install.install(cluster)
    cluster.done("chart installed, its pods ready")
    cluster.wait("the shop's pods run", lambda: shop_runs(cluster, workloads))
    wrong = show(cluster, next_window(time.time_ns()), workloads)
    cluster.done("window observed and on the map")
    say(f"up in {time.monotonic() - began:.0f} s; KUBECONFIG={cluster.kubeconfig}")
    print(f"{install.page(cluster)}/  key: {install.read_key(cluster)}")  # noqa: T201 - a command's output
    for text in wrong:
        say(f"wrong: {text}")
    return 1 if wrong else 0


def main() -> int:
    """Exit 0 when the map is the truth (up) or nothing is left (down)."""
    word = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if word == "up":
            return bring_up()
        if word == "down":
            down(Layout())
            return 0
    except (PodsonarError, LabError) as error:
        say(str(error))
        return 1
    say(f"word {word!r}, expected up or down")
    return 2


if __name__ == "__main__":
    sys.exit(main())
