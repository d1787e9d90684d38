"""The objects of the test cluster, to compare them before and after."""

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop

# Made and renewed all the time by the cluster itself.
RESTLESS = ("Event", "Lease", "EndpointSlice", "Endpoints", "ControllerRevision", "PodMetrics", "NodeMetrics")


def all_objects(cluster: RealCluster) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of every object, except the shop's, the system's and those that are renewed all the
    time.
    """
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    columns = "custom-columns=K:.kind,NS:.metadata.namespace,N:.metadata.name"
    said = cluster.kubectl("get", ",".join(kinds), "--all-namespaces", "--no-headers", "-o", columns)
    rows = {tuple(line.split(maxsplit=2)) for line in said.splitlines()}
    return {
        (kind, namespace, name)
        for kind, namespace, name in rows
        if kind not in RESTLESS and namespace not in (shop.NAMESPACE, "kube-system")
    }
