"""`collector once` prints what `collector run` pushes, byte for byte; SIGTERM amid a list leaves nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from podsonar.json_gzip import inflated
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.cluster.conftest import PODS, Crowd
from tests.cluster.fault_proxy import Ask, FaultProxy, Reply, Request, serving

pytestmark = pytest.mark.cluster

COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "collector"]
# What names the run and not the cluster: the window and the inventory's id and sequence.
OF_THE_RUN = re.compile(
    rb'"window":\{"start":"[^"]+","end":"[^"]+"\}|(?<="inventory":\{)"id":"[0-9a-f]{32}","sequence":\d+'
)


@contextmanager
def manager_that_keeps(bodies: list[bytes]) -> Iterator[str]:
    """The URL of a server that takes every push and keeps its body."""

    def keep(posted: ReceivedRequest) -> GivenAnswer:
        bodies.append(posted.body)
        return GivenAnswer(201)

    with answering(keep) as url:
        yield url


def arguments(folder: Path, kubeconfig: Path, url: str) -> list[str]:
    """A collector's arguments: settings in a file, a token, a spool of its own, loopback alone."""
    (folder / "token").write_text("podsonar_0123456789ab_" + "A" * 43)
    settings = {
        "manager": {"url": url, "tokenFile": str(folder / "token")},
        "directory": {"listen": "127.0.0.1:0", "tokenFile": str(folder / "token")},
        "spool": {"folder": str(folder / "spool")},
        "data": {"cron": {"expression": "0 0 1 1 *"}},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    return ["--config", str(folder / "settings.yaml"), "--kubeconfig", str(kubeconfig)]


def wait_until(seen: list[bytes], count: int, process: subprocess.Popen[bytes]) -> None:
    """Return once that many bodies came; fail after a minute, or where the program ended."""
    deadline = time.monotonic() + 60
    while len(seen) < count:
        assert process.poll() is None, "the collector ended"
        assert time.monotonic() < deadline, f"{len(seen)} of {count} bodies within 60 s"
        time.sleep(0.05)


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is gone after the block."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_once_prints_the_very_bytes_that_run_pushes(crowd: Crowd, tmp_path: Path) -> None:
    """The same cluster gives the same bodies by both commands; only what names the run differs."""
    pushed: list[bytes] = []
    with manager_that_keeps(pushed) as url:
        given = arguments(tmp_path, crowd.kubeconfig, url)
        with running([*COMMAND, "once", *given, "--output", "-"]) as process:
            printed, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
        bodies = printed.splitlines()
        with running([*COMMAND, "run", "--now", *given]) as process:
            wait_until(pushed, len(bodies), process)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        assert process.returncode == 0
    assert bodies
    assert [OF_THE_RUN.sub(b"", body) for body in bodies] == [OF_THE_RUN.sub(b"", inflated(one)) for one in pushed]
    assert sum(body.count(b'"kind":"Pod"') for body in bodies) == PODS


def test_sigterm_in_the_middle_of_a_list_leaves_no_inventory(crowd: Crowd, tmp_path: Path) -> None:
    """The program ends within seconds though the server is silent in the middle of a page, and pushes nothing."""
    silent, done = threading.Event(), threading.Event()

    def fault(request: Request, ask: Ask) -> Reply | None:
        if "watch" in request.query:
            return Reply(503, b"{}")
        if request.path == "/api/v1/pods" and "continue" in request.query:
            silent.set()
            whole = ask(None)
            return Reply(200, whole.body, stall_after=len(whole.body) // 2, until=done)
        return None

    pushed: list[bytes] = []
    proxy = FaultProxy(crowd.plane, crowd.kubeconfig, fault)
    with manager_that_keeps(pushed) as url, serving(proxy) as api:
        kubeconfig = proxy.write_kubeconfig(tmp_path / "kubeconfig", api, None)
        with running([*COMMAND, "run", "--now", *arguments(tmp_path, kubeconfig, url)]) as process:
            assert silent.wait(60)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        done.set()
    assert process.returncode == 0
    assert pushed == []
    assert not list((tmp_path / "spool").glob("*.batch"))
