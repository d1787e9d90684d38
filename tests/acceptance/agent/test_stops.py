"""SIGTERM in any phase ends the agent with 0 within 5 s, and its observations are on disk."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.spool import Spool
from node_agent.capture.files import capture_file
from node_agent.capture.files.capture_queue import CaptureQueue
from podsonar.json_gzip import pack
from tests.acceptance.agent_process import agent
from tests.ended import wait_for_end
from tests.node_agent import stages

pytestmark = pytest.mark.kernel
LOADER = "\0-B\0"  # an option of the loader's command alone: the supervisor's own names loader.py too


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_stopped_during_compile_leaves_no_process_and_a_window_not_observed(tmp_path: Path) -> None:
    """The loader is frozen while it compiles; the agent does not wait for it, and the window reports that (row 37)."""
    with agent(tmp_path) as running:
        running.wait_until(lambda: running.children(LOADER))
        (loader,) = running.children(LOADER)
        os.kill(loader, signal.SIGSTOP)
        running.wait_for_log("next_window")
        assert running.stop() == 0, running.log_text
        wait_for_end(loader)  # the kernel kills it with its supervisor
        found = running.observation()
        assert (found["tracer"], found["gap"], found["observed"]) == ("none", "stopped", None)
        assert "Traceback" not in running.log_text


def test_stopped_before_the_window_leaves_nothing(tmp_path: Path) -> None:
    """Nothing was to be observed yet."""
    with agent(tmp_path, starts_in=600) as running:
        running.wait_until(lambda: running.ready() == (200, "ok\n"))
        assert running.stop() == 0, running.log_text
        assert running.spooled_files() == []


def test_stopped_while_it_drains_keeps_every_connect(tmp_path: Path, storm: Path) -> None:
    """20,011 connects to 101 ports, drained 50 times a second: after SIGTERM the capture has all of them."""
    CaptureQueue(tmp_path / "spool").put(
        stages.capture([stages.flow(7, "10.96.0.10", 23)])
    )  # nothing is resolved before it
    with agent(tmp_path, node={"drainSeconds": 0.02}) as running:
        running.wait_for_log("event=tracing")
        subprocess.run([storm, "20011", "2", "101"], check=True, capture_output=True)
        assert running.stop() == 0, running.log_text
        _older, path = sorted(running.spooled_files())
        capture = capture_file.read(path)
        made = [flow.attempts for flow in capture.flows if flow.destination == "127.77.0.1"]
        assert (sum(made), capture.lost) == (20_011, {})
        assert "stopped" in (capture.gap or "")
        assert capture.observed is not None
        assert capture.observed.end_ns < capture.window.end_ns


def test_stopped_while_it_pushes_keeps_the_batch(tmp_path: Path, silent: socket.socket) -> None:
    """A manager that does not answer does not delay the agent's end, and the batch is still there (row 38)."""
    spool = Spool(tmp_path / "spool")
    spool.put(Batch("c-1-waiting", "connections", 1 << 62, pack({})))
    spool.close()
    with agent(tmp_path, manager={"url": f"http://127.0.0.1:{silent.getsockname()[1]}"}) as running:
        connection = silent.accept()[0]
        with connection:
            assert b"c-1-waiting" in connection.recv(65536)
            running.wait_for_log("event=tracing")
            assert running.stop() == 0, running.log_text
        names = [path.name for path in running.spooled_files()]
        assert "000000000001-c-1-waiting.batch" in names  # beside an empty window's


def test_stopped_while_it_asks_the_directory_keeps_the_capture(tmp_path: Path, silent: socket.socket) -> None:
    """A directory that does not answer does not delay the agent's end, and the capture is still there."""
    port = silent.getsockname()[1]
    CaptureQueue(tmp_path / "spool").put(stages.capture([stages.flow(7, "10.96.0.10", 23)]))
    with agent(tmp_path, starts_in=600, directory={"url": f"http://127.0.0.1:{port}"}) as running:
        connection = silent.accept()[0]
        with connection:
            assert b"/v1/resolve" in connection.recv(65536)
            assert running.stop() == 0, running.log_text
        assert [path.name.rpartition("-")[2] for path in running.spooled_files()] == ["23.capture"]


def test_hangup_ends_nothing(tmp_path: Path) -> None:
    """SIGHUP to supervisor and agent, as a closing terminal sends it, does not end the window."""
    with agent(tmp_path) as running:
        running.wait_until(lambda: running.ready() == (200, "ok\n"))
        os.killpg(running.process.pid, signal.SIGHUP)
        time.sleep(0.5)
        assert running.ready() == (200, "ok\n"), running.log_text
        assert running.stop() == 0, running.log_text
        assert running.observation()["gap"].endswith("stopped")
