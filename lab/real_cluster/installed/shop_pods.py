"""The sample shop on a running cluster: creates its pods, waits for them, and computes the windows of its connects."""

import time
from collections import Counter

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND


def start_shop(cluster: RealCluster, seconds: int = 60) -> tuple[shop.ShopWorkload, ...]:
    """Create the shop's pods for windows of that many seconds; the cron job does not wait for its first minute."""
    workloads, outside = shop.workloads(cluster.layout.size), cluster.layout.outside
    while time.time() % 60 > 58:  # the cron job and its first job must belong to the same minute
        time.sleep(0.1)
    now_seconds = int(time.time())
    stored = {item["metadata"]["name"]: item for item in cluster.apply(shop.objects(workloads, outside, seconds))}
    jobs = [item for item in workloads if item.kind == "CronJob"]
    cluster.apply(shop.first_job(item, stored[item.name], outside, seconds, now_seconds) for item in jobs)
    return workloads


def shop_runs(cluster: RealCluster, workloads: tuple[shop.ShopWorkload, ...], seconds: int = 60) -> bool:
    """Return whether every pod of the shop runs, including that of the job that connects in the next window."""
    pods = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods")["items"]
    labels = [pod["metadata"]["labels"] for pod in pods if pod["status"].get("phase") == "Running"]
    running = Counter(item["app"] for item in labels)
    jobs = {item.get("batch.kubernetes.io/job-name") for item in labels}
    minute = (next_start(time.time_ns(), seconds) // NS_PER_SECOND - seconds) // 60
    due = {f"{item.name}-{minute}" for item in workloads if item.kind == "CronJob"}
    return due <= jobs and all(running[item.name] >= item.pods for item in workloads)


def next_start(now_ns: int, seconds: int) -> int:
    """The start of the first window that begins from now on, in ns."""
    return (now_ns // (seconds * NS_PER_SECOND) + 1) * seconds * NS_PER_SECOND


def next_window(now_ns: int, seconds: int = 60) -> str:
    """The id of the first window that begins from now on."""
    return Window(next_start(now_ns, seconds), 0).id
