"""The real command under the container's capabilities: what stays runs as a user of its own and traces all the same."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node_agent.capture.files import capture_file
from node_agent.privileged.unprivileged_user import hand_over, loading_capabilities
from tests.node_agent.kernel_side import CHECKOUT

USER = 60946
OPENED_BEFORE = 23
LISTENER = "127.94.6.4"
GRANTED = "-all,+bpf,+perfmon,+setuid,+setgid"
# The user may not enter the folders above checkout and virtual environment: both are shown at other places.
SHOWN = (
    "mount -t tmpfs -o mode=0755 none /mnt && mkdir /mnt/checkout /mnt/environment && mkdir -m 1777 /mnt/out && "
    'mount --bind . /mnt/checkout && mount --bind "$0" /mnt/environment && mount --bind "$1" /mnt/out && shift && '
    'cd / && exec "$@"'
)
PROGRAM = "from cli.main import main; main()"


def command(folder: Path, *arguments: str, granted: str = GRANTED) -> list[str]:
    """Run `podsonar` as uid 0 with these capabilities alone, `folder` at /mnt/out."""
    environment = Path(sys.prefix).resolve()
    shown = ["unshare", "--mount", "--wd", str(CHECKOUT), "sh", "-c", SHOWN, str(environment), str(folder)]
    bare = ["setpriv", "--bounding-set", granted, "--inh-caps", granted, "--no-new-privs"]
    python = ["env", "PYTHONPATH=/mnt/checkout", "/mnt/environment/bin/python", "-c", PROGRAM]
    return [*shown, *bare, *python, *arguments]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that every user may write to, as an emptyDir."""
    tmp_path.chmod(0o777)
    return tmp_path


@contextlib.contextmanager
def connections() -> Iterator[int]:
    """Twenty-three connections that stay open; yields the listener's port."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((LISTENER, 0)))
        for _each in range(OPENED_BEFORE):
            stack.enter_context(socket.create_connection(listener.getsockname()))
            stack.enter_context(listener.accept()[0])
        yield listener.getsockname()[1]


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/<pid>/status."""
    text = Path(f"/proc/{pid}/status").read_text()
    return {name: value.strip() for name, _colon, value in (line.partition(":") for line in text.splitlines())}


def children(pid: int) -> list[int]:
    """The children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_agent(supervisor: int) -> int:
    """The agent's pid, once it has executed its own program."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for child in children(supervisor):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a loader ends at any moment
                if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"/mnt/environment/"):
                    return child
        time.sleep(0.05)
    raise AssertionError("no agent process")


@pytest.mark.kernel
def test_agent_of_another_user_records_connections_from_before_by_the_iterator(shared: Path) -> None:
    """No process stays uid 0: the supervisor holds two capabilities, the agent none; 23 of 23 at both ends."""
    arguments = ["agent", "capture", "/mnt/out/taken", "--seconds", "3", "--node-run-as-user", str(USER)]
    with connections() as port, subprocess.Popen(command(shared, *arguments, "--node-name", "n")) as process:
        agent = status(wait_for_agent(process.pid))
        supervisor = status(process.pid)
        assert process.wait(60) == 0
    assert agent["Uid"].split() == agent["Gid"].split() == [str(USER)] * 4
    assert supervisor["Uid"].split() == [str(USER)] * 4
    assert (agent["Groups"], supervisor["Groups"]) == ("", "")
    assert {int(agent[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert {int(supervisor[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {1 << 39 | 1 << 38}
    assert (agent["NoNewPrivs"], agent["Seccomp"]) == ("1", "2")
    taken = capture_file.read(shared / "taken")
    assert taken.opened_by == "iterator"
    made = [flow for flow in taken.flows if (flow.destination, flow.port, flow.opened_before) == (LISTENER, port, True)]
    accepted = [flow for flow in taken.accepted if (flow.local, flow.port) == (LISTENER, port)]
    assert sum(flow.established for flow in made) == sum(flow.accepted for flow in accepted) == OPENED_BEFORE
    assert (shared / "taken").stat().st_uid == USER


@pytest.mark.kernel
@pytest.mark.parametrize("missing", ["setuid", "setgid"])
def test_uid_0_that_cannot_be_given_up_stops_the_agent(shared: Path, missing: str) -> None:
    """Nothing goes on as uid 0 that was to give it up: exit code 2, and the capability to add."""
    granted = GRANTED.replace(f",+{missing}", "")
    arguments = ["agent", "run", "--node-run-as-user", str(USER), "--node-name", "n", "--spool-folder", "/mnt/out"]
    done = subprocess.run(command(shared, *arguments, granted=granted), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"add {missing.upper()} to securityContext.capabilities.add" in done.stderr


@pytest.mark.kernel
def test_spool_of_uid_0_is_handed_over_without_the_right_to_change_owners(tmp_path: Path) -> None:
    """A host path made by the kubelet, with files of an older release: the group of the pod may use all of it."""
    spool = tmp_path / "spool"
    (spool / "corrupt").mkdir(parents=True)
    spool.chmod(0o755)
    (spool / "000-connections.batch").write_bytes(b"x")
    (spool / "000-connections.batch").chmod(0o600)
    (spool / "others").write_bytes(b"x")
    (spool / "others").chmod(0o600)
    os.chown(spool / "others", USER + 1, USER + 1)
    (spool / "link").symlink_to("/etc/hostname")
    before = os.stat("/etc/hostname")  # noqa: PTH116
    program = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); "
    program += "from node_agent.privileged.unprivileged_user import hand_over; "
    program += f"hand_over({str(spool)!r}, {USER}, {USER})"
    bare = ["setpriv", "--groups", str(USER), "--bounding-set", "-all", "--inh-caps", "-all"]
    subprocess.run([*bare, sys.executable, "-c", program], check=True)
    found = {path.name: path.stat() for path in (spool, spool / "corrupt", spool / "000-connections.batch")}
    assert {about.st_gid for about in found.values()} == {USER}
    assert {about.st_uid for about in found.values()} == {0}
    assert {name: oct(about.st_mode & 0o777) for name, about in found.items()} == {
        "spool": "0o770",
        "corrupt": "0o770",
        "000-connections.batch": "0o660",
    }
    assert os.stat("/etc/hostname") == before  # noqa: PTH116
    assert ((spool / "others").stat().st_uid, (spool / "others").stat().st_mode & 0o777) == (USER + 1, 0o600)


def test_folder_that_was_handed_over_is_never_walked_again(tmp_path: Path) -> None:
    """Its user may have put anything there since: uid 0 touches none of it; nor in a folder that all may write to."""
    for name, group, mode in (("own", os.getgid(), 0o770), ("shared", os.getgid() + 1, 0o777)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(mode)
        (folder / "file").write_bytes(b"")
        before = (folder / "file").stat()
        hand_over(str(folder), os.getuid(), group)
        assert (folder / "file").stat() == before


def test_loader_keeps_what_loading_needs_and_no_more() -> None:
    """BPF, PERFMON, SYS_RESOURCE; SYS_ADMIN stands in for BPF; tracefs needs DAC_READ_SEARCH."""
    every = set(range(41))
    assert loading_capabilities(every, perf=False) == {24, 38, 39}
    assert loading_capabilities(every, perf=True) == {2, 24, 38, 39}
    assert loading_capabilities({6, 7, 38, 39}, perf=True) == {38, 39}
    assert loading_capabilities({6, 7, 21}, perf=False) == {21}
