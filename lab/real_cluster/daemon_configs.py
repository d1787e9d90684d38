"""Configuration of a node's daemons as plain values: containerd, its network plugins, kubelet and kube-proxy."""

from typing import Any

from lab.real_cluster.addressing import ClusterNode, Layout
from lab.real_cluster.images import POD_IMAGE

Settings = dict[str, Any]
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PLUGINS = "/usr/lib/cni"  # Debian's containernetworking-plugins
CAP_SYS_RESOURCE = 1 << 24


def may_lower_oom_score(status: str) -> bool:
    """Return whether the text of /proc/self/status has CAP_SYS_RESOURCE, which a score below the parent's requires."""
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
    return bool(int(effective, 16) & CAP_SYS_RESOURCE)


def containerd(*, lower_oom_score: bool) -> str:
    """The config.toml of containerd; without the capability the runtime could not start a sandbox at all."""
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{POD_IMAGE}"
restrict_oom_score_adj = {str(not lower_oom_score).lower()}

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "/run/node/cni"
"""


def network(layout: Layout, node: ClusterNode, only_address: str | None = None) -> Settings:
    """The CNI list: a bridge with addresses of the node's range (or `only_address`), and host ports."""
    addresses = {"subnet": node.pod_range} | (
        {"rangeStart": only_address, "rangeEnd": only_address} if only_address else {}
    )
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": layout.masquerade,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/var/lib/cni/networks",
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": layout.name, "plugins": [bridge, portmap]}


def kubelet(layout: Layout, node: ClusterNode) -> Settings:
    """KubeletConfiguration: authenticates and authorizes as in production, never evicts on a full test machine."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/run/node/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "clusterDNS": [layout.dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "resolvConf": "/run/node/resolv.conf",
        "syncFrequency": "10s",
        "volumePluginDir": "/var/lib/kubelet/plugins-exec",
    }


def kube_proxy(layout: Layout, node: ClusterNode) -> Settings:
    """KubeProxyConfiguration; connection tracking keeps the machine's limits."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": "0.0.0.0",
        "clientConnection": {"kubeconfig": "/run/node/kube-proxy.kubeconfig"},
        "clusterCIDR": layout.pod_range,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": node.name,
        "mode": layout.proxy_mode,
        "oomScoreAdj": 0,
    }
