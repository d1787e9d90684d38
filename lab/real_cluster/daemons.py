"""Processes that outlive the command that started them, found again by cgroup and by a line in a state file.

All of a cluster's processes are in one tree of cgroups: daemons in `<name>/daemons` (their children stay there),
containers below `<name>/node-a` and `<name>/node-b`. Teardown finds them all, whatever happens to the state file.
"""

import os
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import orjson

from lab.real_cluster.addressing import Layout
from lab.simulated import cgroups
from podsonar.errors import ApiServerError

MOUNTS = Path("/proc/self/mounts")
# The shell joins the cgroup before it executes the program: no part of the program ever runs outside.
JOIN = 'echo $$ > "$0/cgroup.procs" && cd / && exec "$@"'
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
KILL_SECONDS = 20.0


def tracking_hierarchy(hierarchies: Iterable[Path]) -> Path:
    """The hierarchy whose groups keep processes together: the unified one, else any."""
    every = list(hierarchies)
    unified = [path for path in every if (path / "cgroup.subtree_control").exists()]
    return (unified or every)[0]


def enable_controllers(top: Path, below: str) -> None:
    """On cgroup v2, enable every controller of the root for the groups down to `below`."""
    if not (top / "cgroup.subtree_control").exists():
        return
    folder = top
    for part in ("", *below.split("/")):
        folder /= part
        for controller in (folder / "cgroup.controllers").read_text().split():
            with suppress(
                OSError
            ):  # a controller that a threaded or busy parent keeps is the kubelet's to complain about
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def make_cgroups(layout: Layout) -> None:
    """Create the cluster's groups in every hierarchy."""
    for top in cgroups.hierarchies(MOUNTS.read_text()):
        cgroups.make(top, layout.daemons)
        for node in layout.nodes:
            cgroups.make(top, node.cgroup)
            enable_controllers(top, node.cgroup)


def start_time(pid: int) -> str:
    """The process's start time in the kernel's unit; empty if it is gone. It differs if the pid was reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def inheritable_descriptors() -> list[int]:
    """Open descriptors that a child would inherit: a lock among them would be held as long as the cluster is up."""
    descriptors = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not files
        with suppress(OSError):  # the listing's own descriptor is gone
            if int(name) > 2 and os.get_inheritable(int(name)):
                descriptors.append(int(name))
    return descriptors


class Daemons:
    """Starts, finds and ends the daemons of one cluster."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.state = layout.folder / "processes.json"
        self.group = tracking_hierarchy(cgroups.hierarchies(MOUNTS.read_text())) / layout.daemons
        self.lock = threading.Lock()
        self.children: dict[str, int] = {}

    def log(self, name: str) -> Path:
        """The file of the daemon's output."""
        return self.layout.folder / "log" / f"{name}.log"

    def start(self, name: str, command: list[str], inside: int | None = None) -> int:
        """Start the program in its own session and return its pid; `inside`: enter the namespaces of that process."""
        enter = ["nsenter", "--target", str(inside), "--mount", "--net", "--"] if inside else []
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        # Not subprocess: its objects warn if a process outlives them, which is intended here.
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", JOIN, str(self.group), *enter, *command],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log(name)), APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in inheritable_descriptors()),
            ],
            setsid=True,
        )
        self.record(name, pid)
        return pid

    def read_state(self) -> dict[str, dict[str, str | int]]:
        """Name → process id and start time, of all daemons that were ever started."""
        descriptors: dict[str, dict[str, str | int]] = (
            orjson.loads(self.state.read_bytes()) if self.state.exists() else {}
        )
        return descriptors

    def record(self, name: str, pid: int) -> None:
        """Record the daemon here and in the state file."""
        entry: dict[str, str | int] = {"pid": pid, "started": start_time(pid)}
        with self.lock:
            self.children[name] = pid
            made = self.state.with_suffix(".new")
            made.write_bytes(orjson.dumps({**self.read_state(), name: entry}, option=orjson.OPT_INDENT_2))
            made.replace(self.state)

    def pid(self, name: str) -> int | None:
        """The process id of a daemon that any command started; None if it does not run."""
        entry = self.read_state().get(name)
        if entry is None or not entry["started"] or start_time(int(entry["pid"])) != entry["started"]:
            return None
        return int(entry["pid"])

    def check(self) -> None:
        """Raise ApiServerError with name and last line of a daemon started by this object that has ended."""
        with self.lock:  # nodes start in threads, and each thread checks every daemon
            for name, pid in self.children.items():
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    del self.children[name]
                    lines = self.log(name).read_text(errors="replace").splitlines()[-1:]
                    code = os.waitstatus_to_exitcode(status)
                    raise ApiServerError(f"{name} ended with code {code}, expected it to stay: {''.join(lines)}")

    def stop(self, name: str) -> None:
        """End a daemon that this object started: by SIGTERM, and by SIGKILL after KILL_SECONDS."""
        with self.lock:
            pid = self.children.pop(name)
        deadline = time.monotonic() + KILL_SECONDS
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill every process of the cluster: the recorded ones, and all in its cgroups with their children.

        Children of this process may not have reached their cgroup yet.
        """
        recorded = (self.pid(name) for name in self.read_state())
        for pid in {*self.children.values(), *(pid for pid in recorded if pid is not None)}:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        kill_group(self.layout.name)
        while self.children:
            os.waitpid(self.children.popitem()[1], 0)


def processes_of(group: str) -> set[int]:
    """The processes of a group and of all groups below it, in any hierarchy."""
    descriptors: set[int] = set()
    for top in cgroups.hierarchies(MOUNTS.read_text()):
        for path in (top / group).rglob("cgroup.procs"):
            with suppress(OSError):
                descriptors.update(int(pid) for pid in path.read_text().split())
    return descriptors


def is_populated(group: str) -> bool:
    """Return whether a process of the group is still ending: its last threads, after `cgroup.procs` omits it."""
    tops = [top / group / "cgroup.events" for top in cgroups.hierarchies(MOUNTS.read_text())]
    return any("populated 1" in path.read_text() for path in tops if path.exists())


def kill_group(group: str) -> None:
    """Kill processes of the group until none appears; raise ApiServerError with those that stay."""
    deadline = time.monotonic() + KILL_SECONDS
    while (left := processes_of(group)) or is_populated(group):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        if time.monotonic() > deadline:
            raise ApiServerError(f"processes {sorted(left)} of {group} are still there, expected none after SIGKILL")
        time.sleep(0.05)
