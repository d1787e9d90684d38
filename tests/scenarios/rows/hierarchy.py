"""Cgroup hierarchies and the names in them: both drivers, nesting, and nodes with v1, v2 or both.

The machine has v1 and v2 side by side; a v1-only node's pods are in no v2 cgroup, a v2-only node's in no v1 one, and
its loader gets the setting that no controller is on v1. Other names are in tests/node_agent/capture/test_pod_cgroup.py.
"""

from tests.scenarios.table import Scenario, ScenarioPod, connect, shop_took, web_to_shop

SYSTEMD = (
    "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{underscored}.slice/"
    "cri-containerd-{container}.scope"
)
KIND = "docker/{outer}/kubelet/kubepods/burstable/pod{uid}/{container}"
KIND_SYSTEMD = (
    "docker/{outer}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
    "kubelet-kubepods-burstable-pod{underscored}.slice/cri-containerd-{container}.scope"
)
IN_A_POD = "kubepods/burstable/pod11111111-2222-4333-8444-555555555555/{outer}/kubepods/besteffort/pod{uid}/{container}"
OWN_SYSTEMD = "kubepods/burstable/pod{uid}/{container}/system.slice/nginx.service"
COLON = "system.slice/containerd.service/kubepods-burstable-pod{underscored}.slice:cri-containerd:{container}"
NO_KUBELET = "k8s.io/{container}"
CUT = (
    "acme_platform_team_workloads.slice/acme_platform_team_workloads-kubernetes.slice/"
    "acme_platform_team_workloads-kubernetes-kubepods-burstable-pod{underscored}.slice/cri-containerd-{container}.scope"
)
CAPITALS = (
    "Node-1.2.slice/Node-1.2-kubepods.slice/Node-1.2-kubepods-burstable-pod{underscored}.slice/"
    "cri-containerd-{container}.scope"
)
TENANT = "kubepods/burstable/pod{uid}/{container}/pod11111111-2222-4333-8444-555555555555"
TOO_DEEP = "kubepods/burstable/pod{uid}/{container}/1/2/3/4/5/6/7/8/9"


def in_cgroup(name: str, says: str, cgroup: str, only: str | None = None, window: str = "shared") -> Scenario:
    """The scenario of two pods in cgroups of that shape."""
    return Scenario(
        name,
        says,
        pods=(ScenarioPod("web", cgroup=cgroup, only=only), ScenarioPod("shop", (8080,), cgroup=cgroup, only=only)),
        steps=(connect("web", "pod shop", 8080, 13),),
        edges=(web_to_shop(13),),
        taken=(shop_took(13),),
        window=window,
    )


CGROUPFS = ScenarioPod("").cgroup

SCENARIOS = (
    in_cgroup("systemd-driver", "the systemd driver's slices name the pod with underscores", SYSTEMD),
    in_cgroup("kind", "a node that is a container itself", KIND),
    in_cgroup("kind-systemd", "the same with the systemd driver, whose slices repeat parents' names", KIND_SYSTEMD),
    in_cgroup("cluster-in-a-pod", "a cluster nested in a pod of another one: the inner pod", IN_A_POD),
    in_cgroup("systemd-in-a-container", "a container with cgroups of its own below", OWN_SYSTEMD),
    in_cgroup("v1-only", "pods in no v2 cgroup: the accepting end goes by its address", CGROUPFS, "v1"),
    in_cgroup("v2-only", "no controller on v1: the v2 hierarchy names both ends", CGROUPFS, "v2", "v2"),
    in_cgroup("v2-only-systemd", "the same with the systemd driver", SYSTEMD, "v2", "v2"),
    in_cgroup("hybrid-without-memory", "v1 and v2 side by side, no controller on v1", KIND, None, "v2"),
    in_cgroup("colon", "kubelet with the systemd driver, containerd with cgroupfs", COLON),
    in_cgroup("colon-v2-only", "the same without v1", COLON, "v2", "v2"),
    in_cgroup("no-cgroups-per-qos", "no name says pod: the address decides", NO_KUBELET),
    in_cgroup("no-cgroups-per-qos-v1-only", "the same without v2", NO_KUBELET, "v1"),
    in_cgroup("no-cgroups-per-qos-v2-only", "the same without v1", NO_KUBELET, "v2", "v2"),
    in_cgroup("cut-name", "a cgroup root so long that the UID is cut: the address decides", CUT),
    in_cgroup("cut-name-v2-only", "the same without v1", CUT, "v2", "v2"),
    in_cgroup("capitals-and-dots", "a cgroup root with capital letters and dots", CAPITALS),
    in_cgroup("tenants-inner-name", "a pod that names a cgroup of its own after another pod stays itself", TENANT),
    in_cgroup(
        "deeper-than-names",
        "a cgroup so deep that its kept names do not reach the pod's: the address decides, and not `no pod`",
        TOO_DEEP,
    ),
)
