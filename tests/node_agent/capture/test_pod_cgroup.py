"""node_agent/capture/pod_cgroup.py: cgroup names, leaf first -> whose cgroup it is."""

import pytest

from node_agent.capture.pod_cgroup import CgroupOwner, owner_in_hierarchies, owner_of, pod_uid
from node_agent.privileged.bpf_structs import NAME_BYTES, NAME_LEVELS

UID = "2dc5e8c6-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
OTHER = "99999999-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
UNDERSCORED = UID.replace("-", "_")
HASH = "0123456789abcdef0123456789abcdef"
CONTAINER = "c" * 64
SCOPE = f"cri-containerd-{CONTAINER}.scope"
SLICE = f"kubepods-burstable-pod{UNDERSCORED}.slice"
# A root so long that the kernel side keeps only a part of the UID.
CUT = f"acme_platform_team_workloads-kubernetes-kubepods-burstable-pod{UNDERSCORED}.slice"[: NAME_BYTES - 1]
POD, STATIC = CgroupOwner("pod", (UID,), True), CgroupOwner("pod", (HASH,), True)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param((CONTAINER, f"pod{UID}", "besteffort", "kubepods"), POD, id="cgroupfs"),
        pytest.param((SCOPE, f"kubepods-besteffort-pod{UNDERSCORED}.slice"), POD, id="systemd"),
        pytest.param((SCOPE, f"kubepods-pod{UNDERSCORED}.slice"), POD, id="systemd guaranteed"),
        pytest.param((f"crio-{CONTAINER}.scope", SLICE, "kubepods.slice"), POD, id="cri-o"),
        pytest.param(("container", f"crio-{CONTAINER}.scope", SLICE, "kubepods.slice"), POD, id="crun's child"),
        pytest.param(
            (f"{SLICE}:cri-containerd:{CONTAINER}"[: NAME_BYTES - 1], "containerd.service", "system.slice"),
            POD,
            id="kubelet systemd, containerd cgroupfs, cut behind the UID",
        ),
        pytest.param(
            (SCOPE, f"Node-kubepods-burstable-pod{UNDERSCORED}.slice", "Node-kubepods.slice", "Node.slice"),
            POD,
            id="capital letters",
        ),
        pytest.param(
            (SCOPE, f"k8s.io-v1.2-kubepods-pod{UNDERSCORED}.slice", "k8s.io.slice"), POD, id="dots in the root"
        ),
        pytest.param(
            (SCOPE, f"kubelet-kubepods-burstable-pod{UNDERSCORED}.slice", "kubelet.slice", CONTAINER, "docker"),
            POD,
            id="kind",
        ),
        pytest.param(
            (CONTAINER, f"pod{UID}", "kubepods", "kubelet", f"libpod-{CONTAINER}.scope", "machine.slice"),
            POD,
            id="podman",
        ),
        pytest.param((CONTAINER, f"pod{HASH}", "kubepods"), STATIC, id="static pod"),
        pytest.param((SCOPE, f"kubepods-burstable-pod{HASH}.slice"), STATIC, id="static pod, systemd"),
        pytest.param(
            ("a", f"pod{UID}", "kubepods", "b", f"pod{OTHER}", "kubepods"),
            CgroupOwner("pod", (OTHER, UID), True),
            id="a pod in a pod: the outermost first",
        ),
        pytest.param(
            (f"pod{OTHER}", CONTAINER, f"pod{UID}", "kubepods"),
            CgroupOwner("pod", (UID, OTHER), True),
            id="a tenant's cgroup with another pod's name",
        ),
        pytest.param(
            (f"pod{OTHER}", CONTAINER, "k8s.io"),
            CgroupOwner("pod", (OTHER,), False),
            id="a tenant's name below a container that no kubelet named",
        ),
        pytest.param(
            ("x", f"pod{OTHER}", SCOPE, CUT, "acme.slice"),
            CgroupOwner("pod", (OTHER,), False),
            id="a tenant's name below a kubelet's name that was cut",
        ),
        pytest.param(
            (f"pod{OTHER}", *("x",) * (NAME_LEVELS - 1)),
            CgroupOwner("pod", (OTHER,), False),
            id="a tenant's name so deep that the kubelet's is not kept",
        ),
        pytest.param(("sshd.service", "system.slice"), CgroupOwner("host"), id="a service of the node"),
        pytest.param(("session-4.scope", "user-0.slice", "user.slice"), CgroupOwner("host"), id="a login"),
        pytest.param(("init.scope",), CgroupOwner("host"), id="init"),
        pytest.param(("/",), CgroupOwner("root"), id="the root of the hierarchy"),
        pytest.param((CONTAINER, "k8s.io"), CgroupOwner("unknown"), id="no cgroups per QoS"),
        pytest.param((CONTAINER, "docker"), CgroupOwner("unknown"), id="docker"),
        pytest.param((f"docker-{CONTAINER}.scope", "system.slice"), CgroupOwner("unknown"), id="docker, systemd"),
        pytest.param((SCOPE, CUT, "acme.slice"), CgroupOwner("unknown"), id="a name that was cut in the UID"),
        pytest.param((f"mypod{UID}",), CgroupOwner("unknown"), id="a name that only ends like a pod's"),
        pytest.param((f"pod{UID}-scratch",), CgroupOwner("unknown"), id="a name that only begins like a pod's"),
        pytest.param(("caf\ufffd",), CgroupOwner("unknown"), id="not UTF-8"),
        pytest.param(("app", "batch"), CgroupOwner("unknown"), id="a shape that nobody knows"),
        pytest.param((), CgroupOwner("unknown"), id="no names"),
    ],
)
def test_cgroup_names_give_the_outermost_pod_or_nothing_certain(names: tuple[str, ...], expected: CgroupOwner) -> None:
    """The kubelet's own name decides; only what is known to be the node's is the node's."""
    assert owner_of(names) == expected
    assert pod_uid(names) == (expected.uids[0] if expected.uids else None)


@pytest.mark.parametrize(
    ("hierarchies", "expected"),
    [
        pytest.param([(), (CONTAINER, f"pod{UID}", "kubepods")], POD, id="a pod in one hierarchy only"),
        pytest.param([("system.slice",), ()], CgroupOwner("host"), id="the node's"),
        pytest.param([(f"pod{OTHER}", CONTAINER, "k8s.io")], CgroupOwner("pod", (OTHER,), False), id="no kubelet's"),
        pytest.param([(), ("process_api",)], CgroupOwner("unknown"), id="unknown"),
    ],
)
def test_process_belongs_to_the_pod_of_any_of_its_hierarchies(
    hierarchies: list[tuple[str, ...]], expected: CgroupOwner
) -> None:
    """On a hybrid node some hierarchies know of no pods."""
    assert owner_in_hierarchies(hierarchies) == expected
