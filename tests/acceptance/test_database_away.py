"""A PostgreSQL that crashes, refuses or hangs: no batch is lost, and every caller gets one sentence."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.server import serving
from manager.store.batches.queries import list_windows
from manager.store.batches.window_batches import read_batches
from manager.store.database import Store
from manager.store.tables import BATCHES
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.manager.fresh_database import agent_of, migrated
from tests.manager.postgresql import PostgresqlServer
from tests.manager.shop import NODE_A

pytestmark = pytest.mark.postgresql
AGENTS_COUNT, BATCHES_EACH, BEFORE_THE_CRASH = 4, 23, 10


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL for this module alone, since it is crashed."""
    made = PostgresqlServer()
    yield made
    made.remove()


class PushingAgent(threading.Thread):
    """An agent with a full spool that pushes until it is empty; it ignores waiting times to save test time."""

    def __init__(self, name: str, folder: Path, url: str, token: str, crashed: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.spool = Spool(folder / name)
        payload = pack(NODE_A | {"nodeName": name})
        for number in range(BATCHES_EACH):
            self.spool.put(Batch(f"c-{number}-{name}", "connections", 1 << 62, payload))
        (folder / f"{name}-token").write_text(token)
        settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
        self.pusher = Pusher(settings, self.spool, TokenFile(str(folder / f"{name}-token")), self.hear)
        self.outcomes: list[tuple[str, float]] = []
        self.crashed, self.refused = crashed, threading.Event()

    def hear(self, outcome: object) -> None:
        """Keep the code of every answer and the wait that it asks for."""
        code, wait_seconds = getattr(outcome, "code", ""), getattr(outcome, "wait_seconds", 0.0)
        self.outcomes.append((code, wait_seconds))
        if code == "503":
            self.refused.set()

    def run(self) -> None:
        """Push until nothing waits; the second half only after the database has crashed."""
        while (code := self.pusher.step().code) != "idle":
            if code != "201":
                time.sleep(0.05)
            elif self.spool.stats().batches == BATCHES_EACH // 2:
                self.crashed.wait()
        self.pusher.close()
        self.spool.close()


def ask(url: str) -> httpx.Response:
    """The manager's answer, for which a busy machine may need some time."""
    return httpx.get(url, timeout=60, trust_env=False)


def test_row_37_database_crashes_during_ingest_every_batch_is_stored_once(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    """Meanwhile agents get 503 with Retry-After, and the manager is alive but not ready; then the rest arrives."""
    database = server.new_database()
    token, _key = migrated(database)
    crashed = threading.Event()
    with serving(database) as url:
        agents = [PushingAgent(f"node-{n}", tmp_path, url, token, crashed) for n in range(AGENTS_COUNT)]
        for agent in agents:
            agent.start()
        while sum(len(agent.outcomes) for agent in agents) < BEFORE_THE_CRASH:
            time.sleep(0.01)
        server.stop(signal.SIGQUIT)
        crashed.set()
        for agent in agents:
            agent.refused.wait()
        assert [ask(f"{url}/{path}").status_code for path in ("readyz", "healthz", "metrics")] == [503, 200, 200]
        assert 'podsonar_manager_agents{state="active"} NaN' in ask(f"{url}/metrics").text
        server.start()
        for agent in agents:
            agent.join()
        assert ask(f"{url}/readyz").status_code == 200
    assert {code for agent in agents for code, _ in agent.outcomes} == {"201", "503", "idle"}
    assert {wait for agent in agents for code, wait in agent.outcomes if code == "503"} == {5.0}
    sent = {f"c-{number}-{agent.name}" for agent in agents for number in range(BATCHES_EACH)}
    with closing(Store(database)) as store:
        with store.reading() as connection:
            stored = list(connection.execute(select(BATCHES.c.batch_id)).scalars())
        (window,) = list_windows(store, agent_of(store))
        observed = read_batches(store, agent_of(store), window.id)
    assert sorted(stored) == sorted(sent)
    assert len(observed) == len(sent)


def test_row_37_hanging_database_holds_up_neither_health_nor_metrics(server: PostgresqlServer) -> None:
    """A database that accepts a statement and does not answer (here: frozen) leaves the manager alive and answering."""
    database = server.new_database()
    with serving(database) as url:
        assert ask(f"{url}/readyz").status_code == 200
        with server.standing_still():
            waiting = threading.Thread(target=lambda: ask(f"{url}/readyz"), daemon=True)
            waiting.start()
            assert httpx.get(f"{url}/healthz").status_code == 200
            assert waiting.is_alive()
        waiting.join()
        assert ask(f"{url}/readyz").status_code == 200


def manager(words: list[str], environment: dict[str, str], repository: Path) -> subprocess.CompletedProcess[str]:
    """The output of a command of the manager."""
    return subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "manager", *words],
        cwd=repository,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("words", [["serve", "--listen", "127.0.0.1:0"], ["migrate"], ["token", "list"]])
def test_wrong_password_is_reported_in_one_sentence_without_any_password(
    server: PostgresqlServer, tmp_path: Path, repository: Path, words: list[str]
) -> None:
    """The server's message, host, port and user; the exit code allows a retry."""
    (tmp_path / "url").write_text(server.url("postgres", password="hunter2-hunter2") + "\n")
    done = manager(words, {"PODSONAR_DATABASE_FILE": str(tmp_path / "url")}, repository)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"podsonar: database 'postgresql://podsonar:***@127.0.0.1:{server.port}/postgres'")
    assert 'password authentication failed for user "podsonar"' in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("postgresql://podsonar:hunter2@127.0.0.1:1/podsonar", 1, "Connection refused"),
        ("postgresql://podsonar:hunter2@nowhere.invalid/podsonar", 1, "nowhere.invalid"),
        ("postgresql:///podsonar?host=/nowhere&password=hunter2", 1, "No such file or directory"),
        ("mysql://podsonar:hunter2@db/podsonar", 2, "expected sqlite:///file or postgresql://"),
        ("postgresql://podsonar:hunter2@db:port/podsonar", 2, "expected sqlite:///file or postgresql://"),
    ],
)
def test_missing_database_is_reported_in_one_sentence(repository: Path, url: str, code: int, message: str) -> None:
    """Exit 1 if the same command may succeed later, 2 if it never can; the password does not show."""
    done = manager(["migrate"], {"PODSONAR_DATABASE": url}, repository)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
