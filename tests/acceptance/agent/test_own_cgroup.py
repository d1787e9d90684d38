"""An agent in a cgroup namespace of its own, which shows it no names, knows its own traffic all the same."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from lab.simulated import cgroups
from node_agent.capture.files import capture_file
from podsonar.model import Capture
from tests.acceptance.agent_process import REPOSITORY
from tests.node_agent.stages import body, resolved

pytestmark = pytest.mark.kernel

UID = "77777777-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
ADDRESS = "10.99.9.2"
# A network of its own with the address; beside the agent, in its cgroup, refused connects until it has ended.
SCRIPT = f"""
ip link set lo up && ip addr add {ADDRESS}/32 dev lo || exit 1
/usr/bin/python3 -I -S -c '
import socket, time
while True:
    with socket.socket() as client:
        client.connect_ex(("{ADDRESS}", 443))
    time.sleep(0.05)
' & other=$!
"$@"; code=$?
kill $other
exit $code
"""


def captured(tmp_path: Path, below: str) -> Capture:
    """What an agent captures in 6 seconds, in that cgroup and in a cgroup namespace of its own."""
    run = f"podsonarown-{os.getpid()}"
    folders = cgroups.make_in_every_hierarchy(f"{run}/{below}")
    file = tmp_path / "own.capture"
    agent = [sys.executable, "-c", "from cli.main import main; main()", "agent", "capture", str(file), "--seconds", "6"]
    command = ["unshare", "--cgroup", "--net", "sh", "-c", SCRIPT, "sh", *agent]

    def enter() -> None:
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    try:
        subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "NODE_NAME": "node-a"},
            preexec_fn=enter,
            capture_output=True,
            check=True,
            timeout=90,
        )
    finally:
        cgroups.remove(run)
    return capture_file.read(file)


def own_attempts(capture: Capture) -> int:
    """Attempts to the address, by the agent's own pod: all of them are filtered as its own, none is delivered."""
    attempts = sum(flow.attempts for flow in capture.flows if flow.destination == ADDRESS)
    outcome = resolved(capture)
    assert outcome.observation["filtered"]["own_traffic"] >= attempts
    assert ADDRESS not in {one["destinationIP"] for one in body(outcome)["connectionList"]}
    return attempts


def test_pod_in_a_private_cgroup_namespace_is_known_by_its_names(tmp_path: Path) -> None:
    """Its own /proc shows the root; the kernel side shows the pod, so that its connects are its own traffic."""
    capture = captured(tmp_path, f"kubepods/besteffort/pod{UID}/{uuid.uuid4().hex * 2}")
    assert capture.own_pod_uid == UID
    assert own_attempts(capture) > 23


def test_pod_whose_names_show_no_pod_is_known_by_its_cgroup(tmp_path: Path) -> None:
    """With names of another shape its cgroup decides."""
    capture = captured(tmp_path, f"k8s.io/{uuid.uuid4().hex * 2}")
    assert capture.own_pod_uid is None
    assert {flow.cgroup for flow in capture.flows if flow.destination == ADDRESS} == {capture.own_cgroup}
    assert own_attempts(capture) > 23
