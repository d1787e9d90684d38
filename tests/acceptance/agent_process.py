"""`podsonar agent run` as a separate process: its log, its child processes and the files it leaves on disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from delivery.spool_file import read_batch
from lab.controlplane.ports import free_ports
from node_agent.attribution.body import connections_body
from node_agent.attribution.flow_groups import group_flows
from node_agent.capture.files import capture_file
from podsonar.json_gzip import unpack
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND

TOKEN = "a-token-that-nobody-issued-0123"
UNREACHABLE_URL = "http://127.0.0.1:1"
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "agent", "run"]
REPOSITORY = Path(__file__).resolve().parent.parent.parent
TIMEOUT_SECONDS = 60.0


def free_port() -> int:
    """A port on which nothing listens, and that nobody gets who asks for any."""
    (port,) = free_ports(1)
    return port


def payload_of(path: Path) -> bytes:
    """The gzipped body of a batch in the spool."""
    batch = read_batch(path)
    assert batch is not None, path
    return batch.payload


def with_capabilities(*names: str) -> list[str]:
    """The start of a command that runs with exactly these capabilities."""
    only = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--bounding-set", only, "--inh-caps", only]


class AgentProcess:
    """A node agent below its supervisor, which is `process`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int, window: Window) -> None:
        self.folder = folder
        self.process = process
        self.port = port
        self.start, self.end = window.wire().values()

    @property
    def log_text(self) -> str:
        """The log so far."""
        return (self.folder / "log").read_text()

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Return once the condition holds; fail after TIMEOUT_SECONDS or if the agent has ended."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            assert self.process.poll() is None, self.log_text
            assert time.monotonic() < deadline, self.log_text
            time.sleep(0.02)

    def wait_for_log(self, text: str) -> None:
        """Return once the log contains the text."""
        self.wait_until(lambda: text in self.log_text)

    def children(self, word: str) -> list[int]:
        """Children of the supervisor whose command line contains the word."""
        pid = self.process.pid
        found = []
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                options = Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue
            if word in options:
                found.append(int(child))
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a path on the metrics port."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=TIMEOUT_SECONDS)
        return answer.status_code, answer.text

    def ready(self) -> tuple[int, str] | None:
        """Status and text of /readyz; None while nothing listens yet."""
        try:
            return self.get("/readyz")
        except httpx.TransportError:
            return None

    def spooled_files(self) -> list[Path]:
        """Captures and batches on disk."""
        spool = self.folder / "spool"
        return [*spool.glob("captures/*.capture"), *spool.glob("*.batch")]

    def observation(self) -> dict[str, Any]:
        """The observation of the one window on disk, from its capture or its batch."""
        (path,) = self.spooled_files()
        if path.suffix == ".capture":
            return connections_body.build_body(group_flows(capture_file.read(path)), {}).observation
        found: dict[str, Any] = unpack(payload_of(path))["observation"]
        return found

    def stop(self) -> int:
        """Send SIGTERM and return the exit code; raise subprocess.TimeoutExpired after 5 s."""
        self.process.terminate()
        return self.process.wait(5)


@contextmanager
def agent(
    folder: Path,
    prefix: list[str] | None = None,
    seconds: float = 600,
    starts_in: float = 0,
    options: list[str] | None = None,
    **settings: Any,
) -> Iterator[AgentProcess]:
    """An agent in one window that begins in `starts_in` seconds; nothing answers as directory or manager."""
    token, port = folder / "token", free_port()
    if not token.exists():
        token.write_text(TOKEN)
    body: dict[str, Any] = {
        "manager": {"url": UNREACHABLE_URL, "tokenFile": str(token)},
        "directory": {"url": UNREACHABLE_URL, "tokenFile": str(token)},
        "spool": {"folder": str(folder / "spool")},
        "metrics": {"listen": f"127.0.0.1:{port}"},
        "node": {"name": "node-a", "drainSeconds": 1},
    }
    for group, values in settings.items():
        body[group] = {**body.get(group, {}), **values}
    config = folder / "agent.yaml"
    config.write_bytes(orjson.dumps(body))
    start_ns = time.time_ns() + int(starts_in * NS_PER_SECOND)
    window = Window(start_ns, start_ns + int(seconds * NS_PER_SECOND))
    once = ["--once-window", *window.wire().values()]
    command = [*(prefix or []), *COMMAND, "--config", str(config), *once, *(options or [])]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=output, start_new_session=True)
    try:
        yield AgentProcess(folder, process, port, window)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
