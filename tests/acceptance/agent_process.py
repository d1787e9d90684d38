"""`podsonar agent run` as a process of its own: what it says, which processes it has, what it leaves on disk."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from node_agent.attribution import connections_body
from node_agent.attribution.flow_groups import traffic_of
from node_agent.capture import capture_file
from podsonar.json_gzip import unpack
from podsonar.model import NS_PER_SECOND, Window

TOKEN = "a-token-that-nobody-issued-0123"
NOBODY = "http://127.0.0.1:1"
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "agent", "run"]
REPOSITORY = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port: int = placeholder.getsockname()[1]
        return port


def with_capabilities(*names: str) -> list[str]:
    """The start of a command that runs with exactly these capabilities."""
    only = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--bounding-set", only, "--inh-caps", only]


class Agent:
    """A node agent below its supervisor, which is `process`."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int, window: Window) -> None:
        self.folder = folder
        self.process = process
        self.port = port
        self.start, self.end = window.wire().values()

    @property
    def said(self) -> str:
        """What it has said so far."""
        return (self.folder / "log").read_text()

    def until(self, true: Callable[[], object]) -> None:
        """Return as soon as something holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def until_said(self, text: str) -> None:
        """Return as soon as it has said something."""
        self.until(lambda: text in self.said)

    def children(self, word: str) -> list[int]:
        """Children of the supervisor whose command line has a word."""
        pid = self.process.pid
        found = []
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                words = Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue
            if word in words:
                found.append(int(child))
        return found

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a path on the metrics port."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)
        return answer.status_code, answer.text

    def ready(self) -> tuple[int, str] | None:
        """What /readyz answers; None while nobody listens yet."""
        try:
            return self.get("/readyz")
        except httpx.TransportError:
            return None

    def kept(self) -> list[Path]:
        """Captures and batches on disk."""
        spool = self.folder / "spool"
        return [*spool.glob("captures/*.capture"), *spool.glob("*.batch")]

    def observation(self) -> dict[str, Any]:
        """The observation of the one window on disk, whether its batch was made already or not."""
        (path,) = self.kept()
        if path.suffix == ".capture":
            return connections_body.connections(traffic_of(capture_file.read(path)), {}).observation
        found: dict[str, Any] = unpack(path.read_bytes().split(b"\n", 1)[1])["observation"]
        return found

    def stop(self) -> int:
        """The exit code after SIGTERM; subprocess.TimeoutExpired where that takes longer than 5 s."""
        self.process.terminate()
        return self.process.wait(5)


@contextmanager
def agent(
    folder: Path,
    prefix: list[str] | None = None,
    seconds: float = 600,
    starts_in: float = 0,
    words: list[str] | None = None,
    **settings: Any,
) -> Iterator[Agent]:
    """An agent in one window that begins in `starts_in` seconds; nothing answers as directory or manager."""
    token, port = folder / "token", free_port()
    if not token.exists():
        token.write_text(TOKEN)
    body: dict[str, Any] = {
        "manager": {"url": NOBODY, "tokenFile": str(token)},
        "directory": {"url": NOBODY, "tokenFile": str(token)},
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
    command = [*(prefix or []), *COMMAND, "--config", str(config), *once, *(words or [])]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=output, start_new_session=True)
    try:
        yield Agent(folder, process, port, window)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)
