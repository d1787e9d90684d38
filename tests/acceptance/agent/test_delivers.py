"""A stopped agent whose disk goes with it delivers first, within `node.stopSeconds`."""

import time
from pathlib import Path

import pytest

from directory.interval import FINAL_AFTER_NS
from node_agent.capture.files.capture_queue import CaptureQueue
from tests.acceptance.agent_process import agent
from tests.acceptance.directory_and_manager import directory_and_manager
from tests.node_agent import stages

pytestmark = pytest.mark.kernel


def test_stopped_with_time_to_deliver_waits_for_final_answers_and_pushes(tmp_path: Path) -> None:
    """Answers about the last moment are final ten seconds later: the agent waits, resolves, pushes, and then ends."""
    now_ns = time.time_ns()
    seen = stages.flow(7, "10.96.0.10", 23)._replace(first_ns=now_ns, last_ns=now_ns)
    CaptureQueue(tmp_path / "spool").put(stages.capture([seen]))
    with directory_and_manager() as (url, came):
        node = {"stopSeconds": 22}
        with agent(tmp_path, starts_in=600, node=node, manager={"url": url}, directory={"url": url}) as running:
            running.wait_for_log("event=next_window")
            running.process.terminate()
            assert running.process.wait(22) == 0, running.log_text
            assert running.spooled_files() == []
        ((at_ns, body),) = came
    assert at_ns >= now_ns + FINAL_AFTER_NS
    (one,) = body["connectionList"]  # type: ignore[misc]
    assert one["attempts"] == 23
