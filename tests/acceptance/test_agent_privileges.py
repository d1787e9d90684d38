"""The process of the node agent that stays holds no capability while it traces, and stops without losing its window."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from discovery.records import NS_PER_SECOND, rfc3339

pytestmark = pytest.mark.kernel

TRACING_SECONDS = 20.0
STOP_SECONDS = 5.0


def status(pid: int) -> dict[str, str]:
    """The fields of /proc/<pid>/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def children(pid: int) -> dict[int, str]:
    """Each child of a process with its command line."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(child): Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in text.split()}


def until_tracing(process: subprocess.Popen[bytes], log: Path) -> None:
    """The agent has said that it traces."""
    deadline = time.monotonic() + TRACING_SECONDS
    while "event=tracing" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture
def running(tmp_path: Path, repository: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`podsonar agent run` in a window that has begun, and its log; nothing answers as directory or manager."""
    token = tmp_path / "token"
    token.write_text("a-token-that-nobody-issued-0123")
    settings = tmp_path / "agent.yaml"
    settings.write_bytes(
        orjson.dumps(
            {
                "manager": {"url": "http://127.0.0.1:1", "tokenFile": str(token)},
                "directory": {"url": "http://127.0.0.1:1", "tokenFile": str(token)},
                "spool": {"folder": str(tmp_path / "spool")},
                "node": {"name": "node-a", "drainSeconds": 1},
            }
        )
    )
    start_ns = time.time_ns()
    window = ["--once-window", rfc3339(start_ns), rfc3339(start_ns + 600 * NS_PER_SECOND)]
    command = [sys.executable, "-c", "from cli.main import main; main()", "agent", "run", "--config", str(settings)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *window], cwd=repository, stdout=output, stderr=output, start_new_session=True
        )
    try:
        until_tracing(process, log)
        yield process, log
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)


def test_agent_that_traces_has_no_capability_and_stops_in_time(
    running: tuple[subprocess.Popen[bytes], Path], tmp_path: Path
) -> None:
    """No capability, none to gain; SIGTERM ends it with 0 within 5 s, with the window's capture or batch on disk."""
    supervisor, log = running
    agents = [pid for pid, words in children(supervisor.pid).items() if "agent observe" in words]
    assert len(agents) == 1, children(supervisor.pid)
    found = status(agents[0])
    held = {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}
    assert held == dict.fromkeys(held, 0)
    assert found["NoNewPrivs"] == "1"

    began = time.monotonic()
    supervisor.terminate()
    assert supervisor.wait(STOP_SECONDS) == 0, log.read_text()
    assert time.monotonic() - began < STOP_SECONDS
    assert not Path(f"/proc/{agents[0]}").exists()
    spool = tmp_path / "spool"
    kept = [*spool.glob("captures/*.capture"), *spool.glob("*.batch")]
    assert len(kept) == 1, log.read_text()
    assert "Traceback" not in log.read_text()
