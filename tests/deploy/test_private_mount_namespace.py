"""The first step of `make test`: a root that is the mount namespace's own, also in a chroot."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

# The least that programs run in, as a chroot whose root is no mount point.
CHROOT = """
set -e
cd "$1"
mkdir usr proc project
for name in bin lib lib64 sbin; do ln -s usr/$name $name; done
mount --bind /usr usr
mount -t proc proc proc
mount --bind "$2" project
shift 2
exec chroot . "$@"
"""
PRIVATE_MOUNTS = ["/usr/bin/python3", "/project/deploy/private_mount_namespace.py"]


def in_chroot(folder: Path, repository: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The result of a command in a chroot of that folder."""
    start = ["unshare", "--mount", "sh", "-c", CHROOT, "sh", str(folder), str(repository)]
    return subprocess.run([*start, *command], capture_output=True, text=True, check=False)


def test_user_namespace_can_be_made_in_a_chroot(repository: Path, tmp_path: Path) -> None:
    """What the kernel refuses in a chroot works; the namespace sees the chroot's files."""
    make = ["unshare", "--user", "--map-root-user", "true"]
    (tmp_path / "plain").mkdir()
    assert "Operation not permitted" in in_chroot(tmp_path / "plain", repository, *make).stderr
    (tmp_path / "own").mkdir()
    enter = "nsenter --target $$ --mount -- ls /project/deploy/private_mount_namespace.py"
    done = in_chroot(tmp_path / "own", repository, *PRIVATE_MOUNTS, "sh", "-c", f"{' '.join(make)} && {enter}")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "/project/deploy/private_mount_namespace.py\n")


def test_command_runs_unchanged_elsewhere(repository: Path) -> None:
    """Where the root is the namespace's own nothing changes; the exit code is the command's."""
    done = subprocess.run(
        ["deploy/private_mount_namespace.py", "sh", "-c", "pwd; exit 7"],
        cwd=repository,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.decode()) == (7, f"{repository}\n")
