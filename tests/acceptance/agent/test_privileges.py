"""The agent process holds no capability while it traces, whatever the supervisor has."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.agent_process import REPOSITORY, agent, with_capabilities

pytestmark = pytest.mark.kernel

TWO = 1 << 39 | 1 << 38
CODE = "/memfd:code "  # what loaders load again: nothing that the agent may write
REFUSED = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from node_agent.privileged import seccomp
number = seccomp.SYSCALLS["x86_64"] if sys.argv[2] == "x86_64" else seccomp.SYSCALLS["aarch64"]
libc = seccomp.libc
libc.prctl(38, 1, 0, 0, 0)
seccomp.install()
room = ctypes.create_string_buffer(128)
def error(name, first=0):
    return 0 if libc.syscall(number[name], first, room, 72) >= 0 else ctypes.get_errno()
print([error(name) for name in seccomp.REFUSED if name not in ("io_uring_enter", "swapoff")])
"""


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def open_by(before: list[str], file: Path) -> str:
    """What a program says that can open a file, or cannot, started by the command `before`."""
    done = subprocess.run([*before, "wc", "-c", file], capture_output=True, text=True, check=False)
    return done.stderr or "opened"


def test_agent_that_traces_has_no_capability_and_stops_in_time(tmp_path: Path) -> None:
    """The container holds two capabilities, the agent in it none and none to gain; SIGTERM keeps its window."""
    with agent(tmp_path, with_capabilities("bpf", "perfmon")) as running:
        running.wait_for_log("event=tracing")
        assert int(status(running.process.pid)["CapEff"], 16) == TWO
        (pid,) = running.children("observe")
        (kept,) = (link for link in Path(f"/proc/{running.process.pid}/fd").iterdir() if CODE in str(link.readlink()))
        assert not [link for link in Path(f"/proc/{pid}/fd").iterdir() if CODE in str(link.readlink())]
        assert open_by(with_capabilities("bpf", "perfmon"), kept) == "opened"
        assert open_by(with_capabilities(), kept) == f"wc: {kept}: Permission denied\n"
        found = status(pid)
        held = {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
        assert held == dict.fromkeys(held, 0)
        assert found["NoNewPrivs"] == "1"
        assert found["Seccomp"] == "2"
        assert running.stop() == 0, running.log_text
        assert not Path(f"/proc/{pid}").exists()
        assert len(running.spooled_files()) == 1, running.log_text
        assert "Traceback" not in running.log_text


def test_filter_refuses_what_an_agent_never_needs() -> None:
    """Every listed call is EPERM, bpf(2) too: the agent reads its tables in its own memory."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, str(REPOSITORY), machine], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.strip().strip("[]").split(", ")) == {"1"}
