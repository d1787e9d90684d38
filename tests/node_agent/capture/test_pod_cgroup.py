"""node_agent/capture/pod_cgroup.py: cgroup names, leaf first -> pod UID."""

import pytest

from node_agent.capture.pod_cgroup import pod_uid

UID = "2dc5e8c6-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
OTHER = "99999999-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
UNDERSCORED = UID.replace("-", "_")
HASH = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(("c0ffee", f"pod{UID}", "besteffort", "kubepods"), UID, id="cgroupfs"),
        pytest.param(("x.scope", f"kubepods-besteffort-pod{UNDERSCORED}.slice"), UID, id="systemd"),
        pytest.param(("x.scope", f"kubepods-pod{UNDERSCORED}.slice"), UID, id="systemd guaranteed"),
        pytest.param(("x.scope", f"kubelet-kubepods-burstable-pod{UNDERSCORED}.slice"), UID, id="kind"),
        pytest.param(("c0ffee", f"pod{HASH}"), HASH, id="static pod"),
        pytest.param(("x.scope", f"kubepods-burstable-pod{HASH}.slice"), HASH, id="static pod, systemd"),
        pytest.param(("a", f"pod{UID}", "kubepods", "b", f"pod{OTHER}", "kubepods"), UID, id="pod in a pod"),
        pytest.param(("sshd.service", "system.slice"), None, id="not a pod"),
        pytest.param((f"mypod{UID}",), None, id="a name that only ends like a pod's"),
        pytest.param((f"pod{UID}-scratch",), None, id="a name that only begins like a pod's"),
        pytest.param((), None, id="no names"),
    ],
)
def test_cgroup_names_give_the_nearest_pod(names: tuple[str, ...], expected: str | None) -> None:
    """The pod nearest to the leaf, or none; never a part of another name."""
    assert pod_uid(names) == expected
