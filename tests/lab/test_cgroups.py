"""Cgroups of simulated pods."""

from pathlib import Path

from lab.simulated import cgroups


def test_hierarchy_mounted_twice_is_one(tmp_path: Path) -> None:
    """A root that is left for a chroot mounts each hierarchy again; a group removed in one place is gone in both."""
    again = tmp_path / "again"
    again.mkdir()
    mounts = f"cgroup {tmp_path} cgroup rw\nproc /proc proc rw\ncgroup2 /proc cgroup2 rw\ncgroup {again} cgroup rw\n"
    assert cgroups.hierarchies(mounts) == [tmp_path, Path("/proc")]
