"""`--log-level debug` writes one line per flow, in the shape of the log that `podsonar replay` reads."""

import re
import socket
from pathlib import Path

import pytest

from node_agent.attribution.flow_log import read_log
from tests.acceptance.agent_process import agent
from tests.acceptance.directory_and_manager import directory_and_manager

pytestmark = pytest.mark.kernel


def test_filtered_flow_is_one_line_that_replay_reads(tmp_path: Path) -> None:
    """11 connects of this process, which is no pod, are one flow and one line, and replay reads its reason.

    The reason depends on the machine: a cgroup that is known to be the host's decides before the destination does.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        directory_and_manager() as (url, _came),
        agent(tmp_path, seconds=15, options=["--log-level", "debug"], directory={"url": url}) as running,
    ):
        port = server.getsockname()[1]
        running.wait_for_log("event=tracing")
        for _ in range(11):
            with socket.create_connection(("127.0.0.1", port)):
                server.accept()[0].close()
        running.wait_for_log("window_spooled")
        said = running.log_text
        assert running.stop() == 0
    shape = re.compile(
        rf"skiping connection {{\d+ 127\.0\.0\.1 127\.0\.0\.1 {port}}} as (source is not a pod|destination is loopback)"
    )
    assert len([line for line in said.splitlines() if shape.fullmatch(line)]) == 1
    _nodes, left_out = read_log(said)
    (reason,) = [line.reason for line in left_out if shape.fullmatch(line.text)]
    assert reason in {"source_not_a_pod", "loopback"}
    assert "Traceback" not in said
