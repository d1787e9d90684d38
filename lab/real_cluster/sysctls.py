"""Settings of the running kernel that a kubelet changes for the whole machine: kept before, put back after."""

from contextlib import suppress
from pathlib import Path

import orjson

SYSCTL = Path("/proc/sys")
# kubernetes v1.34 pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables
CHANGED_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def keep(file: Path) -> None:
    """The file holds the values of now; one that is there already is the truth of before."""
    if not file.exists():
        present = [name for name in CHANGED_BY_KUBELET if (SYSCTL / name).exists()]
        file.write_bytes(orjson.dumps({name: (SYSCTL / name).read_text().strip() for name in present}))


def put_back(file: Path) -> None:
    """The kernel has the values of the file again, where it has one."""
    if file.exists():
        for name, value in orjson.loads(file.read_bytes()).items():
            if (SYSCTL / name).read_text().strip() != value:
                with suppress(PermissionError):  # a container's /proc/sys is read-only: then nobody changed it either
                    (SYSCTL / name).write_text(value)
