"""Which pod a cgroup belongs to, by the names that the kubelet gives (pkg/kubelet/cm/cgroup_manager_linux.go)."""

import re

CGROUPFS = re.compile(r"pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})")
SYSTEMD = re.compile(r"(?:[a-z0-9_-]*-)?pod([0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}|[0-9a-f]{32})\.slice")


def pod_uid(names: tuple[str, ...]) -> str | None:
    """The pod UID (a static pod's config hash) in a cgroup's names, leaf first; None where it is not a pod's.

    The name nearest to the leaf decides: a cluster nested in a pod of another one has its own pods below.
    """
    for name in names:
        match = CGROUPFS.fullmatch(name) or SYSTEMD.fullmatch(name)
        if match:
            return match[1].replace("_", "-")
    return None
