"""A node whose /proc is mounted with `hidepid`: what an agent without capabilities cannot see is counted."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from lab.simulated import cgroups
from tests.acceptance.agent_process import REPOSITORY

pytestmark = pytest.mark.kernel

POD_ADDRESS, FAR = "10.99.8.2", "203.0.113.9"
# In a network of its own, as uid 1000: one connection to a server that stops listening.
POD = f"""
ip link set lo up && ip addr add {POD_ADDRESS}/32 dev lo && ip addr add {FAR}/32 dev lo || exit 1
exec setpriv --reuid=1000 --regid=1000 --clear-groups /usr/bin/python3 -I -S -c '
import socket
listener = socket.create_server(("{FAR}", 4443))
client = socket.socket()
client.bind(("{POD_ADDRESS}", 0))
client.connect(("{FAR}", 4443))
server, _ = listener.accept()
listener.close()
print("open", flush=True)
input()
'
"""
SCAN = """
import sys
from pathlib import Path
import orjson
from node_agent.capture.open_connections.proc_sockets import Recent, scan
found = scan(Path(sys.argv[1]), lambda: Recent(set(), full=False), 1)
flows = [[flow.pod_uid, flow.source, flow.destination, flow.established] for flow in found.flows]
print(orjson.dumps({"flows": flows, "notRead": found.not_read}).decode())
"""
UNPRIVILEGED = "setpriv --bounding-set=-all --inh-caps=-all --no-new-privs"
MOUNTED = f'mount -t proc -o "$0" proc "$1" && exec {UNPRIVILEGED} "$2" -c "$3" "$1"'


@pytest.fixture
def pod_uid() -> Iterator[str]:
    """The UID of a pod with one connection, whose process runs as uid 1000."""
    uid, run = str(uuid.uuid4()), f"podsonarhide-{os.getpid()}"
    folders = cgroups.pod_cgroups(run, uid, "e" * 64)

    def enter() -> None:
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    command = ["unshare", "--net", "sh", "-c", POD]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, preexec_fn=enter, **pipes) as process:  # type: ignore[call-overload]  # noqa: PLW1509
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            yield uid
        finally:
            process.kill()
            process.wait()
            cgroups.remove(run)


def scanned(tmp_path: Path, options: str) -> dict[str, Any]:
    """What a scan finds with /proc mounted so, by uid 0 without any capability."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNTED, options, str(tmp_path), sys.executable, SCAN],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def test_connection_is_read_where_nothing_is_hidden(pod_uid: str, tmp_path: Path) -> None:
    """Without `hidepid` the pod's connection is there, and nothing is counted as hidden."""
    found = scanned(tmp_path, "rw")
    assert [pod_uid, POD_ADDRESS, FAR, 1] in found["flows"]
    assert "processes_hidden" not in found["notRead"]


@pytest.mark.parametrize("options", ["hidepid=1,gid=4321", "hidepid=2,gid=4321", "hidepid=4,gid=4321"])
def test_hidden_processes_are_counted(pod_uid: str, tmp_path: Path, options: str) -> None:
    """Whatever is hidden, files or whole processes: the pod has no connection, and the reason is there."""
    found = scanned(tmp_path, options)
    assert pod_uid not in {row[0] for row in found["flows"]}
    assert found["notRead"]["processes_hidden"] == 1
