"""Cgroup hierarchies and the names in them: both drivers, nesting, and nodes with v1, v2 or both.

The machine has v1 and v2 side by side; a v1-only node's pods are in no v2 cgroup, a v2-only node's in no v1 one, and
its loader gets the setting that no controller is on v1. Other names are in tests/node_agent/capture/test_pod_cgroup.py.
"""

from tests.scenarios.table import Edge, Pod, Scenario, Taken, connect

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
TOO_DEEP = "kubepods/burstable/pod{uid}/{container}/1/2/3/4/5/6/7/8/9"


def in_cgroup(name: str, says: str, cgroup: str, only: str | None = None, window: str = "shared") -> Scenario:
    """The scenario of two pods in cgroups of that shape."""
    return Scenario(
        name,
        says,
        pods=(Pod("web", cgroup=cgroup, only=only), Pod("shop", (8080,), cgroup=cgroup, only=only)),
        steps=(connect("web", "pod shop", 8080, 13),),
        edges=(Edge("web", "pod shop", 8080, "Pod shop", 13),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 13),),
        window=window,
    )


CGROUPFS = Pod("").cgroup

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
    in_cgroup(
        "deeper-than-names",
        "a cgroup so deep that its kept names do not reach the pod's: the address decides, and not `no pod`",
        TOO_DEEP,
    ),
)
