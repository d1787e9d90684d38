"""Objects that a cluster has beside nodes: the Node objects with their pod ranges, and CoreDNS behind `kube-dns`."""

from typing import Any

from lab.real_cluster.addressing import Layout
from lab.real_cluster.images import DNS_IMAGE

Object = dict[str, Any]
DNS_PORT = 1053
COREFILE = f""".:{DNS_PORT} {{
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {{
        pods insecure
        ttl 30
    }}
    cache 30
    reload
}}
"""
DNS_NAME = {"name": "coredns", "namespace": "kube-system"}


def node_objects(layout: Layout) -> list[Object]:
    """The Node objects before their kubelets register, each with the range of its network plugin and routes."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node.name},
            "spec": {"podCIDR": node.pod_range, "podCIDRs": [node.pod_range]},
        }
        for node in layout.nodes
    ]


def dns_permissions() -> list[Object]:
    """CoreDNS's service account, role and binding, as in its own manifest."""
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "system:coredns"}, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"kind": "ServiceAccount", **DNS_NAME}],
    }
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": DNS_NAME}, role, binding]


def dns_pod() -> Object:
    """The pod template: without any privilege, since it listens on a high port behind the service's 53."""
    container = {
        "name": "coredns",
        "image": DNS_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/coredns", "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "metadata": {"labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "serviceAccountName": "coredns",
            "dnsPolicy": "Default",
            "containers": [container],
            "volumes": [{"name": "settings", "configMap": {"name": "coredns"}}],
        },
    }


def dns_objects(layout: Layout) -> list[Object]:
    """CoreDNS's objects; with them the names of services resolve in every pod."""
    labels = {"k8s-app": "kube-dns"}
    ports = [
        {"name": f"dns-{protocol.lower()}", "protocol": protocol, "port": 53, "targetPort": DNS_PORT}
        for protocol in ("UDP", "TCP")
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": layout.dns, "selector": labels, "ports": ports},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": DNS_NAME,
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": dns_pod()},
    }
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": DNS_NAME, "data": {"Corefile": COREFILE}}
    return [*dns_permissions(), settings, service, deployment]
