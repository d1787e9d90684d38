"""The kinds that are listed: one row per kind."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """`key` is its list in the inventory body; `group` its API group and version; `batch` needs the setting."""

    name: str
    key: str
    group: str
    plural: str
    namespaced: bool = True
    batch: bool = False

    def path(self, namespace: str | None) -> str:
        """The path of the list, in one namespace or in all."""
        root = "/api/v1" if not self.group else f"/apis/{self.group}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}"


@dataclass(frozen=True, slots=True)
class WatchTarget:
    """The target of one reflector: a kind in one namespace, or in the whole cluster."""

    kind: Kind
    namespace: str | None = None

    @property
    def name(self) -> str:
        """`Pod`, or `Pod in shop`."""
        return f"{self.kind.name} in {self.namespace}" if self.namespace else self.kind.name


KINDS = (
    Kind("Namespace", "namespaceList", "", "namespaces", namespaced=False),
    Kind("Node", "nodeList", "", "nodes", namespaced=False),
    Kind("Service", "serviceList", "", "services"),
    Kind("ReplicaSet", "replicaSetList", "apps/v1", "replicasets"),
    Kind("ReplicationController", "replicationControllerList", "", "replicationcontrollers"),
    Kind("Deployment", "deploymentList", "apps/v1", "deployments"),
    Kind("StatefulSet", "statefulSetList", "apps/v1", "statefulsets"),
    Kind("DaemonSet", "daemonSetList", "apps/v1", "daemonsets"),
    Kind("Job", "jobList", "batch/v1", "jobs", batch=True),
    Kind("CronJob", "cronJobList", "batch/v1", "cronjobs", batch=True),
    Kind("Pod", "podList", "", "pods"),
)
API_VERSIONS = {kind.name: kind.group or "v1" for kind in KINDS}
WATCHED = (
    *(kind for kind in KINDS if kind.name in ("Pod", "Service", "Node")),
    Kind("EndpointSlice", "endpointSliceList", "discovery.k8s.io/v1", "endpointslices"),
)
