"""Kubelet-shaped cgroups of the lab's pods, in every hierarchy of the machine (v1, v2, hybrid)."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

REQUIRED = ("memory", "unified", "cgroup2")


def hierarchies(mounts: str) -> list[Path]:
    """A mount point of each cgroup hierarchy in the text of `/proc/self/mounts`: the first, where it has several."""
    rows = [line.split() for line in mounts.splitlines()]
    found: dict[int, Path] = {}
    for root in (Path(row[1]) for row in rows if row[2] in {"cgroup", "cgroup2"}):
        found.setdefault(root.stat().st_dev, root)
    return list(found.values())


def inherit_cpuset(folder: Path) -> None:
    """A v1 cpuset group has the parent's processors and memory nodes: without them it takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and (folder / "cgroup.clone_children").exists():
            (folder / name).write_text((folder.parent / name).read_text())


def make(root: Path, below: str) -> Path:
    """The folder `below` in the hierarchy, made level by level."""
    folder = root
    for part in below.split("/"):
        folder /= part
        folder.mkdir(exist_ok=True)
        inherit_cpuset(folder)
    return folder


def make_everywhere(below: str, *, only: str | None = None) -> list[Path]:
    """The folder `below` in each hierarchy that takes it; `only` is `v1` or `v2` for a node that has no other."""
    made = []
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        unified = (root / "cgroup.controllers").exists()
        if only and unified != (only == "v2"):
            continue
        try:
            made.append(make(root, below))
        except OSError:  # a hierarchy that is read-only or delegated; the two that identity reads must work
            if root.name in REQUIRED:
                raise
    return made


def pod_cgroups(run: str, uid: str, container: str) -> list[Path]:
    """`<run>/kubepods/besteffort/pod<uid>/<container>` in each hierarchy that takes it.

    Never directly below `/kubepods`: a kubelet of the machine kills pods there that it does not know.
    """
    return make_everywhere(f"{run}/kubepods/besteffort/pod{uid}/{container}")


def remove(run: str) -> None:
    """No cgroup of the run is left, nor a process in one."""
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        top = root / run
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                for pid in (Path(folder) / "cgroup.procs").read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), 9)
            for _attempt in range(50):
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)  # a killed process leaves its cgroup a moment later


def runs(prefix: str) -> set[str]:
    """Names of runs that have a cgroup here."""
    found: set[str] = set()
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        found.update(path.name for path in root.glob(f"{prefix}-*") if path.is_dir())
    return found


def available() -> bool:
    """Whether this machine has cgroups and the programs to make the lab's network."""
    return bool(hierarchies(Path("/proc/self/mounts").read_text())) and all(map(shutil.which, ("ip", "nft")))
