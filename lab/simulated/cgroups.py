"""Creates and removes kubelet-shaped cgroups for simulated pods, in every hierarchy of the machine (v1, v2, hybrid)."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

REQUIRED = ("memory", "unified", "cgroup2")
REMOVE_SECONDS = 10.0  # for the processes of a cgroup to end, which take longer on a busy machine


def hierarchies(mounts: str) -> list[Path]:
    """One mount point per cgroup hierarchy in the text of `/proc/self/mounts`: the first one, if there are several."""
    rows = [line.split() for line in mounts.splitlines()]
    found: dict[int, Path] = {}
    for root in (Path(row[1]) for row in rows if row[2] in {"cgroup", "cgroup2"}):
        found.setdefault(root.stat().st_dev, root)
    return list(found.values())


def inherit_cpuset(folder: Path) -> None:
    """Copy the parent's processors and memory nodes into a v1 cpuset group, which accepts no process without them."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (folder / name).exists() and (folder / "cgroup.clone_children").exists():
            (folder / name).write_text((folder.parent / name).read_text())


def make(root: Path, below: str) -> Path:
    """Create the folder `below` in one hierarchy, level by level, and return it."""
    folder = root
    for part in below.split("/"):
        folder /= part
        folder.mkdir(exist_ok=True)
        inherit_cpuset(folder)
    return folder


def make_in_every_hierarchy(below: str, *, only: str | None = None) -> list[Path]:
    """Create the folder `below` in each hierarchy that accepts it; `only`: `v1` or `v2`, for a node that has no other
    version.
    """
    made = []
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        unified = (root / "cgroup.controllers").exists()
        if only and unified != (only == "v2"):
            continue
        try:
            made.append(make(root, below))
        except OSError:  # read-only or delegated; the two hierarchies that identify pods must work
            if root.name in REQUIRED:
                raise
    return made


def pod_cgroups(run: str, uid: str, container: str) -> list[Path]:
    """Create `<run>/kubepods/besteffort/pod<uid>/<container>` in each hierarchy that accepts it.

    Never directly below `/kubepods`: a kubelet on this machine kills pods there that it does not know.
    """
    return make_in_every_hierarchy(f"{run}/kubepods/besteffort/pod{uid}/{container}")


def remove(run: str) -> None:
    """Kill every process in the run's cgroups and remove them in each hierarchy."""
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        top = root / run
        for folder, _, _ in os.walk(top, topdown=False):
            deadline = time.monotonic() + REMOVE_SECONDS
            while time.monotonic() < deadline:
                with suppress(OSError):
                    for pid in (Path(folder) / "cgroup.procs").read_text().split():
                        with suppress(ProcessLookupError):
                            os.kill(int(pid), 9)
                try:
                    Path(folder).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)  # a killed process leaves its cgroup a moment later, or has forked another


def runs_with_cgroups(prefix: str) -> set[str]:
    """Names of the runs with that prefix that have a cgroup on this machine."""
    found: set[str] = set()
    for root in hierarchies(Path("/proc/self/mounts").read_text()):
        found.update(path.name for path in root.glob(f"{prefix}-*") if path.is_dir())
    return found


def available() -> bool:
    """Return whether this machine has cgroups and the programs that create the simulated network."""
    return bool(hierarchies(Path("/proc/self/mounts").read_text())) and all(map(shutil.which, ("ip", "nft")))
