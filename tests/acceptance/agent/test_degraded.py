"""An agent that cannot load its program keeps running, reports why, retries, and its node is not taken for a silent
one.
"""

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.agent_process import AgentProcess, agent, with_capabilities
from tests.open_files import open_files

pytestmark = pytest.mark.kernel

HIDE_BTF = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh"]


def value(running: AgentProcess, name: str) -> list[str]:
    """The samples of a metric."""
    return [line for line in running.get("/metrics")[1].splitlines() if line.startswith((f"{name}{{", f"{name} "))]


def test_agent_without_a_capability_is_not_ready_and_its_window_reports_it(tmp_path: Path) -> None:
    """Not ready with the reason, alive, metric 0; the window's record has `none` and the reason, and the exit code is
    0.
    """
    with agent(tmp_path, with_capabilities("bpf")) as running:
        running.wait_until(lambda: running.ready() == (503, "capability_missing\n"))
        assert running.get("/livez") == (200, "ok\n")
        assert value(running, "podsonar_node_agent_tracer_up") == [
            'podsonar_node_agent_tracer_up{headers_source="none",method="none"} 0.0'
        ]
        assert "missing CAP_PERFMON" in running.log_text
        assert running.stop() == 0, running.log_text
        found = running.observation()
        assert (found["tracer"], found["gap"], found["observed"]) == ("none", "capability_missing", None)
        assert "Traceback" not in running.log_text


def test_ready_before_the_first_window_where_it_can_be_traced(tmp_path: Path) -> None:
    """The program is loaded once long before the first window, and nothing stays attached."""
    with agent(tmp_path, starts_in=600) as running:
        running.wait_until(lambda: running.ready() == (200, "ok\n"))
        assert value(running, "podsonar_node_agent_tracer_up") == [
            'podsonar_node_agent_tracer_up{headers_source="image",method="raw_tracepoint"} 1.0'
        ]
        scrape = running.get("/metrics")[1]
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=scrape, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        (pid,) = running.children("observe")
        assert not any("bpf" in name for name in open_files(pid))
        assert running.children("\0-B\0") == []


def test_next_try_in_a_long_window_observes_the_rest_of_it(tmp_path: Path) -> None:
    """BTF is hidden at first and shown later: the agent becomes ready, and the record states which part was watched."""
    with agent(tmp_path, HIDE_BTF, node={"tracerRetrySeconds": 1}) as running:
        running.wait_until(lambda: running.ready() == (503, "btf_missing\n"))
        pid = str(running.process.pid)
        subprocess.run(["nsenter", "-t", pid, "-m", "-r", "umount", "/sys/kernel/btf"], check=True)
        running.wait_for_log("event=tracing")
        assert running.ready() == (200, "ok\n")
        assert running.stop() == 0, running.log_text
        found = running.observation()
        assert (found["tracer"], found["gap"]) == ("bcc:raw_tracepoint", "btf_missing, stopped")
        assert running.start < found["observed"]["start"] < found["observed"]["end"] < running.end


def test_required_tracer_that_cannot_load_exits_3(tmp_path: Path) -> None:
    """With node.requireTracer the agent ends with one sentence."""
    with agent(tmp_path, with_capabilities("bpf"), node={"requireTracer": True}) as running:
        assert running.process.wait(60) == 3, running.log_text
        assert "podsonar: missing CAP_PERFMON" in running.log_text
        assert "Traceback" not in running.log_text
