"""Eight writers, connections cut, the manager killed again and again: each line once, in order.

By hand with `LOG_LINES=1000000 LOG_KILLS=10`; else fewer, since most of the time is the manager's start.
"""

import http.client
import os
import random
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.acceptance.agent_process import free_port
from tests.chaos.conftest import ACCOUNT, Manager, log_token
from tests.manager.fresh_database import migrated

LINES = int(os.environ.get("LOG_LINES", "40000"))
KILLS = int(os.environ.get("LOG_KILLS", "3"))
WRITERS = 8
LARGEST = min(1000, LINES // 400)  # lines per request: enough requests that some are cut
KEYS = 4  # two writers per stream


class CutWriter:
    """Sends its lines in requests of random sizes; a request that is not answered is sent again, in other pieces."""

    def __init__(self, url: str, token: str, number: int, total: int, run: str) -> None:
        self.address, self.token, self.total = urlsplit(url).netloc, token, total
        self.pod, self.key = f"pod-{number}", f"{run}-{number % KEYS}"
        self.random = random.Random(number)  # noqa: S311 - no secret
        self.written = 0
        self.cut = 0

    def send(self, first: int, last: int) -> bool:
        """Whether the request was answered; sometimes the connection is cut amid the body or before the answer."""
        args = {"PodName": self.pod}
        lines = [
            {"level": "info", "pos": pos, "out": f"{self.pod} {pos}", "time": "2025-05-01T17:27:56Z", "args": args}
            for pos in range(first, last + 1)
        ]
        body = orjson.dumps(lines)
        connection = http.client.HTTPConnection(self.address, timeout=20)
        cut = self.random.random()
        try:
            connection.putrequest("PUT", f"/log-service/stream?accountID={ACCOUNT}&key={self.key}")
            connection.putheader("X-Harness-Token", self.token)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[: len(body) // 2] if cut < 0.03 else body)
            if cut < 0.06:
                self.cut += 1
                return False
            return connection.getresponse().status == 204
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def run(self) -> None:
        """Send everything."""
        while self.written < self.total:
            last = min(self.total, self.written + self.random.randint(1, LARGEST))
            if self.send(self.written + 1, last):
                self.written = last
            else:
                time.sleep(0.05)


class RestartedManager:
    """A manager's process on one port and database, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url, self.database = f"http://127.0.0.1:{self.port}", f"sqlite:///{folder}/manager.db"
        self.key = migrated(self.database).key
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """A process that answers."""
        given = {"PODSONAR_DATABASE": self.database, "PODSONAR_LISTEN": f"127.0.0.1:{self.port}"}
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[4])} | given
        command = [sys.executable, "-c", "from cli.main import main; main()", "manager", "serve"]
        log = self.folder / "manager.log"
        with log.open("ab") as written:
            process = subprocess.Popen(command, env=environment, stdout=written, stderr=written)
        while True:
            try:
                httpx.get(f"{self.url}/healthz", trust_env=False)
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            else:
                return process

    def kill_and_start(self) -> None:
        """SIGKILL, and a new process."""
        self.process.kill()
        self.process.wait()
        self.process = self.start()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_each_line_is_there_once_and_in_order(tmp_path: Path) -> None:
    """204 after the commit, and positions by which what comes again is recognised, whatever its pieces."""
    manager = RestartedManager(tmp_path)
    run, token = secrets.token_hex(4), log_token(manager.database)
    writers = [CutWriter(manager.url, token, number, LINES // WRITERS, run) for number in range(WRITERS)]
    try:
        with ThreadPoolExecutor(WRITERS) as threads:
            done = [threads.submit(writer.run) for writer in writers]
            for share in range(1, KILLS + 1):
                while sum(writer.written for writer in writers) < LINES * share // (KILLS + 1):
                    time.sleep(0.02)
                manager.kill_and_start()
            for one in done:
                one.result()
        assert sum(writer.cut for writer in writers) > KILLS
        for number in range(KEYS):
            key = f"{run}-{number}"
            own = [writer.pod for writer in writers if writer.key == key]
            read = Manager(manager.url, manager.database, manager.key, token)
            found: dict[str, list[int]] = {pod: [] for pod in own}
            for line in read.lines(key):
                assert line["out"] == f"{line['args']['PodName']} {line['pos']}"
                found[line["args"]["PodName"]].append(line["pos"])
            assert found == {pod: list(range(1, LINES // WRITERS + 1)) for pod in own}
            info = read.info(key)
            assert (info["gaps"], info["conflicts"], info["notKept"]) == ([], 0, 0)
            assert info["lines"] == len(own) * (LINES // WRITERS)
    finally:
        manager.process.kill()
        manager.process.wait()
