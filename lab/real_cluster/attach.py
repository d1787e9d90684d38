"""Attaches to a cluster that another command started."""

from collections.abc import Callable

import orjson

from lab.controlplane.certificates import Certificates, Pair
from lab.real_cluster.addressing import Layout
from lab.real_cluster.cluster import RealCluster
from podsonar.errors import ApiServerError


def running_cluster(layout: Layout, report: Callable[[str], object]) -> RealCluster:
    """The running cluster of that name, with every right; raises ApiServerError if there is none."""
    if not (layout.folder / "admin.kubeconfig").exists():
        raise ApiServerError(f"{layout.folder} has no cluster, expected one (`make cluster` brings it up)")
    cluster = RealCluster(layout, report)
    admin = Pair(cluster.folder / "podsonar-lab-admin.crt", cluster.folder / "podsonar-lab-admin.key")
    serving = Pair(cluster.folder / "kube-apiserver.crt", cluster.folder / "kube-apiserver.key")
    signing = cluster.folder / "service-account.key"
    url = orjson.loads(cluster.kubeconfig.read_bytes())["clusters"][0]["cluster"]["server"]
    cluster.connect_api(url, Certificates(cluster.folder / "ca.crt", serving, admin, signing))
    return cluster
