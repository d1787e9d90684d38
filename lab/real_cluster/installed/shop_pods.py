"""The sample shop on a running cluster: its pods made, when all of them run, and the windows of its connects."""

import time
from collections import Counter

from lab.real_cluster.cluster import Cluster
from lab.real_cluster.installed import shop
from podsonar.model import NS_PER_SECOND, Window


def start_shop(cluster: Cluster, seconds: int = 60) -> tuple[shop.Workload, ...]:
    """The shop's pods are made, for windows of so many seconds; the cron job does not wait for its first minute."""
    workloads, outside = shop.workloads(cluster.layout.size), cluster.layout.outside
    while time.time() % 60 > 58:  # the cron job and its first job are to be of the same minute
        time.sleep(0.1)
    now_seconds = int(time.time())
    stored = {one["metadata"]["name"]: one for one in cluster.apply(shop.objects(workloads, outside, seconds))}
    jobs = [one for one in workloads if one.kind == "CronJob"]
    cluster.apply(shop.first_job(one, stored[one.name], outside, seconds, now_seconds) for one in jobs)
    return workloads


def shop_runs(cluster: Cluster, workloads: tuple[shop.Workload, ...], seconds: int = 60) -> bool:
    """Whether every pod of the shop runs, among them that of the job that makes its connects in the next window."""
    pods = cluster.get(f"/api/v1/namespaces/{shop.NAMESPACE}/pods")["items"]
    labels = [pod["metadata"]["labels"] for pod in pods if pod["status"].get("phase") == "Running"]
    running = Counter(one["app"] for one in labels)
    jobs = {one.get("batch.kubernetes.io/job-name") for one in labels}
    minute = (next_start(time.time_ns(), seconds) // NS_PER_SECOND - seconds) // 60
    due = {f"{one.name}-{minute}" for one in workloads if one.kind == "CronJob"}
    return due <= jobs and all(running[one.name] >= one.pods for one in workloads)


def next_start(now_ns: int, seconds: int) -> int:
    """The start of the first window that begins from now on, in ns."""
    return (now_ns // (seconds * NS_PER_SECOND) + 1) * seconds * NS_PER_SECOND


def next_window(now_ns: int, seconds: int = 60) -> str:
    """The id of the first window that begins from now on."""
    return Window(next_start(now_ns, seconds), 0).id
