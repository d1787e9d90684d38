"""Saves and restores the kernel settings that a kubelet changes for the whole machine."""

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


def save(file: Path) -> None:
    """Write the current values to the file; an existing file keeps the values of before."""
    if not file.exists():
        present = [name for name in CHANGED_BY_KUBELET if (SYSCTL / name).exists()]
        file.write_bytes(orjson.dumps({name: (SYSCTL / name).read_text().strip() for name in present}))


def restore(file: Path) -> None:
    """Set the kernel to the values in the file, if there is one."""
    if file.exists():
        for name, value in orjson.loads(file.read_bytes()).items():
            if (SYSCTL / name).read_text().strip() != value:
                with suppress(
                    PermissionError
                ):  # a container's /proc/sys is read-only: then the kubelet did not change it either
                    (SYSCTL / name).write_text(value)
