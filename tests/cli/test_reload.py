"""SIGHUP at the real programs: what can change does, what cannot is named, and nothing ends."""

import os
import secrets
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
import pytest
import yaml

from lab.demo.fake_api_server import kubeconfig
from manager.store.tokens import token_format
from tests.silent_server import SilentServer

pytestmark = pytest.mark.long

PATIENCE_SECONDS = 30


class RunningProgram:
    """A running `podsonar` with a settings file."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder, self.process = folder, process

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return its log."""
        said = (self.folder / "log").read_bytes().splitlines()
        return [orjson.loads(line) for line in said if line.startswith(b"{")]

    def until(self, true: Callable[[], object]) -> None:
        """Return as soon as something holds; fail where the program has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def hang_up(self, event: str, settings: dict[str, Any] | None = None) -> dict[str, Any]:
        """The line of that event in the log after SIGHUP, with other settings if given."""
        if settings is not None:
            write(self.folder, settings)
        before = len(self.lines)
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: [line for line in self.lines[before:] if line["event"] == event])
        return next(line for line in self.lines[before:] if line["event"] == event)


def write(folder: Path, settings: dict[str, Any]) -> None:
    """The settings file."""
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))


@contextmanager
def running(folder: Path, words: list[str], settings: dict[str, Any]) -> Iterator[RunningProgram]:
    """A program; it has ended with code 0 after SIGTERM when the block ends well."""
    write(folder, settings)
    command = [sys.executable, "-c", "from cli.main import main; main()", *words]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--config", str(folder / "settings.yaml")], env=environment, stdout=log, stderr=log
        )
    try:
        yield RunningProgram(folder, process)
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def test_manager_takes_in_tokens_and_its_log_level_and_names_the_rest(tmp_path: Path) -> None:
    """A new token of the file opens; the level counts at once; what needs a restart is named; a bad file is named."""
    held = token_format.generate_token(secrets.token_bytes)
    row = {"id": held.id, "scope": "read", "name": "operator", "secretSha256": token_format.digest(held)}
    (tmp_path / "tokens.json").write_bytes(orjson.dumps({"tokens": []}))
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "database": f"sqlite:///{tmp_path}/manager.db",
        "tokensFile": str(tmp_path / "tokens.json"),
        "log": {"format": "json", "level": "info"},
    }

    def url() -> str:
        return next((w.rstrip("/") for w in (tmp_path / "log").read_text().split() if w.startswith("http")), "")

    def status() -> int:
        answer = httpx.get(f"{url()}/api/v1/agents", headers={"X-API-Key": held.text()}, timeout=30, trust_env=False)
        return answer.status_code

    with running(tmp_path, ["manager", "serve"], settings) as program:
        program.until(url)
        assert status() == 401
        (tmp_path / "tokens.json").write_bytes(orjson.dumps({"tokens": [row]}))
        assert "needs_restart" not in program.hang_up("reloaded")
        assert status() == 200
        refused = program.hang_up("not_reloaded", {**settings, "retentionDays": "soon"})["error"]
        assert ("retentionDays is 'soon'" in refused, "expected a number" in refused) == (True, False)
        reloaded = program.hang_up(
            "reloaded", {**settings, "retentionDays": 60, "log": {"format": "json", "level": "warning"}}
        )
        assert (reloaded["needs_restart"], status()) == ("retentionDays", 200)


def test_collector_goes_on_after_hangup(tmp_path: Path) -> None:
    """What it waits for it goes on waiting for; its log changes its level."""
    api = SilentServer()
    (tmp_path / "token").write_text("podsonar_0123456789ab_" + "A" * 43)
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig(api.url)))
    settings: dict[str, Any] = {
        "manager": {"url": "http://127.0.0.1:9", "tokenFile": str(tmp_path / "token")},
        "directory": {"listen": "127.0.0.1:0", "tokenFile": str(tmp_path / "token")},
        "spool": {"folder": str(tmp_path / "spool")},
        "data": {"cron": {"expression": "0 0 1 1 *"}},
        "log": {"format": "json"},
    }
    words = ["collector", "run", "--now", "--kubeconfig", str(tmp_path / "kubeconfig")]
    with running(tmp_path, words, settings) as program:
        api.request_lines(2)
        reloaded = program.hang_up(
            "reloaded", {**settings, "manager": {**settings["manager"], "url": "http://127.0.0.1:10"}}
        )
        assert reloaded["needs_restart"] == "manager.url"
    api.close()
