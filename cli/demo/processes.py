"""The programs of the demo: the real commands with settings of their own, gone when their block ends."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from lab.applications.application import NODE
from lab.controlplane.ports import free_ports
from podsonar.errors import PodsonarError, UsageError

AGENT = "demo"


@dataclass(frozen=True, slots=True)
class Manager:
    """A running manager: its URL, a key that reads, the folder of all settings, where the directory listens."""

    url: str
    key: str
    folder: Path
    directory: str


def podsonar(*words: str) -> list[str]:
    """The real command, with this interpreter."""
    return [sys.executable, "-c", "from cli.main import main; main()", *words]


@contextmanager
def program(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running `podsonar` command in a separate process group, killed when the block ends."""
    with log.open("wb") as output:
        process = subprocess.Popen(podsonar(*words), stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        for number, seconds in ((signal.SIGTERM, 8), (signal.SIGKILL, 5)):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue


def token(folder: Path, name: str, *words: str) -> str:
    """A new token of the manager, kept in a file of that name."""
    made = subprocess.run(
        podsonar("manager", "token", "create", "--config", str(folder / "manager.yaml"), *words),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise PodsonarError(f"podsonar manager token create failed: {made.stderr.strip()[:300]}")
    path = folder / name
    path.write_text(made.stdout)
    path.chmod(0o600)
    return made.stdout.strip()


def free_port(port: int) -> int:
    """The port, when nothing listens on it; 0 asks for any that is free."""
    if not port:
        return free_ports(1)[0]
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise UsageError(f"--port {port}: 127.0.0.1:{port} cannot be used ({reason}), expected a free port") from error
    return port


def write_settings(folder: Path, port: int, directory: str) -> None:
    """The settings files of the three programs; `directory` is where the collector answers the agent."""
    shared = {
        "manager": {"url": f"http://127.0.0.1:{port}", "tokenFile": str(folder / "token")},
        "directory": {"url": f"http://{directory}", "listen": directory, "tokenFile": str(folder / "token")},
    }
    files: dict[str, dict[str, Any]] = {
        "manager": {"listen": f"127.0.0.1:{port}", "database": f"sqlite:///{folder / 'manager.db'}"},
        "collector": {**shared, "spool": {"folder": str(folder / "collector")}},
        "agent": {**shared, "spool": {"folder": str(folder / "agent")}, "node": {"name": NODE, "drainSeconds": 1}},
    }
    for name, settings in files.items():
        (folder / f"{name}.yaml").write_bytes(orjson.dumps(settings))


def wait_for(url: str, what: str) -> None:
    """The URL answers."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise PodsonarError(f"{what} at {url} did not answer within 20 s")


def managed(stack: ExitStack, port: int) -> Manager:
    """A manager with an empty store that answers on the port; it is gone, with its folder, when the stack ends."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podsonar-demo-")))
    directory = f"127.0.0.1:{free_port(0)}"
    write_settings(folder, port, directory)
    key = token(folder, "key", "--scope", "read", "--name", "demo")
    token(folder, "token", "--agent", AGENT)
    url = f"http://127.0.0.1:{port}"
    stack.enter_context(program(folder / "manager.log", "manager", "serve", "--config", str(folder / "manager.yaml")))
    wait_for(f"{url}/readyz", "the manager")
    asked = httpx.get(f"{url}/api/v1/agents/{AGENT}/map", headers={"X-API-Key": key}, trust_env=False)
    if asked.status_code == httpx.codes.UNAUTHORIZED:  # two demos that started together both saw a free port
        raise UsageError(f"--port {port}: another program answers at {url}, expected a free port")
    return Manager(url, key, folder, directory)
