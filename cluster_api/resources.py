"""The kinds that programs of ours create, change and delete, each with its place in the API. A table."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Resource(NamedTuple):
    """One row: a kind, and the path of its objects."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        group, slash, _version = self.api_version.partition("/")
        return group if slash else ""

    def path(self, namespace: str, name: str = "") -> str:
        """The path of an object, or without a name of all objects of a namespace."""
        prefix = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced else ""
        return f"{prefix}{place}/{self.plural}{f'/{name}' if name else ''}"


# In the order in which objects are applied: what others refer to comes first. Deleting goes the other way.
RESOURCES = (
    Resource("v1", "Namespace", "namespaces", namespaced=False),
    Resource("v1", "ServiceAccount", "serviceaccounts", namespaced=True),
    Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False),
    Resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    Resource("rbac.authorization.k8s.io/v1", "Role", "roles", namespaced=True),
    Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", namespaced=True),
    Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", namespaced=True),
    Resource("v1", "Secret", "secrets", namespaced=True),
    Resource("v1", "ConfigMap", "configmaps", namespaced=True),
    Resource("v1", "Service", "services", namespaced=True),
    Resource("v1", "Pod", "pods", namespaced=True),
    Resource("apps/v1", "DaemonSet", "daemonsets", namespaced=True),
    Resource("apps/v1", "Deployment", "deployments", namespaced=True),
)
BY_KIND = {(row.api_version, row.kind): row for row in RESOURCES}
ORDER = {row.kind: place for place, row in enumerate(RESOURCES)}


class ObjectName(NamedTuple):
    """What identifies an object in its cluster."""

    api_version: str
    kind: str
    namespace: str  # empty for objects of the whole cluster
    name: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "ObjectName":
        """The name of a manifest or a stored object; empty texts for what is absent or no text."""
        metadata = body.get("metadata")
        fields: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
        given = (body.get("apiVersion"), body.get("kind"), fields.get("namespace"), fields.get("name"))
        return cls(*(text if isinstance(text, str) else "" for text in given))

    @property
    def resource(self) -> Resource:
        """The row of the kind; KeyError for one that is not in the table."""
        return BY_KIND[self.api_version, self.kind]

    @property
    def path(self) -> str:
        """The object's path."""
        return self.resource.path(self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"
