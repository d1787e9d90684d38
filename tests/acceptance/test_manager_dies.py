"""A manager is killed, its disk is full or its database locked: exactly the acknowledged batches are stored."""

import os
import resource
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

from manager.server import serving
from manager.store.batches.queries import list_windows
from manager.store.batches.window_batches import read_batches
from manager.store.database import Store
from tests.acceptance.agent_process import free_port
from tests.manager.conftest import Running
from tests.manager.fresh_database import agent_of, migrated
from tests.manager.shop import NODE_A, observed

KILLS, BATCHES = 5, 40


@contextmanager
def process(folder: Path, database: str, port: int, file_bytes: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A manager in a separate process, once it answers; no file that it writes may grow beyond `file_bytes`."""

    def limit() -> None:
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [sys.executable, "-c", "from cli.main import main; main()", "manager", "serve"]
    given = ["--database", database, "--listen", f"127.0.0.1:{port}"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with (folder / "log").open("ab") as log:
        started = subprocess.Popen(
            [*command, *given],
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=limit,  # noqa: PLW1509 - no thread of the tests holds a lock that it takes
        )
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
                break
            except httpx.TransportError:
                assert started.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        yield started
    finally:
        started.kill()
        started.wait()


def stored_ids(database: str) -> list[str]:
    """The ids of all stored batches, one per time that each is stored."""
    store = Store(database)
    agent = agent_of(store)
    seen = [one.batch_id for w in list_windows(store, agent) for one in read_batches(store, agent, w.id)]
    store.close()
    return sorted(seen)


def test_row_38_killed_manager_keeps_acknowledged_batches_and_accepts_the_rest_again(tmp_path: Path) -> None:
    """SIGKILL at any moment: every 201 was on disk, and an unanswered batch is stored once when it is pushed again."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database)
    port = free_port()
    answered: list[str] = []
    waiting = [f"b-{n:03d}" for n in range(BATCHES)]
    for turn in range(KILLS):
        with process(tmp_path, database, port) as manager:
            running = Running(f"http://127.0.0.1:{port}", database, token, key)
            until = len(answered) + BATCHES // (KILLS + 1)
            killer = threading.Timer(60, manager.kill)
            while waiting:
                if len(answered) == until:  # somewhere in the next pushes
                    killer = threading.Timer(secrets.randbelow(30) / 1000, manager.kill)
                    killer.start()
                    until = -1
                try:
                    assert running.push(NODE_A, waiting[0]).status_code == 201
                except httpx.TransportError:
                    if killer.ident is None:  # not killed yet: a busy machine answers late, and the batch goes again
                        assert manager.poll() is None
                        continue
                    break
                answered.append(waiting.pop(0))
            if killer.ident is not None:
                killer.join()
        assert set(answered) <= set(stored_ids(database)), turn
    with process(tmp_path, database, port) as manager:
        running = Running(f"http://127.0.0.1:{port}", database, token, key)
        for batch_id in (*waiting, *answered):
            assert running.push(NODE_A, batch_id).status_code == 201
        manager.send_signal(signal.SIGTERM)
        assert manager.wait(30) == 0
    assert stored_ids(database) == [f"b-{n:03d}" for n in range(BATCHES)]


def test_row_37_full_disk_is_503_and_what_was_stored_is_still_served(tmp_path: Path) -> None:
    """A file that cannot grow, as on a full disk: 503 with Retry-After, reads continue, no batch is stored in part."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database)
    port = free_port()
    names = [secrets.token_hex(1000) for _ in range(40)]  # what no compression makes small
    with process(tmp_path, database, port, file_bytes=600_000) as manager:
        running = Running(f"http://127.0.0.1:{port}", database, token, key)
        good = 0
        while (answer := running.push(big(names), f"b-{good:03d}")).status_code == 201:
            good += 1
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert good > 0
        assert len(running.get("/agents/lab/connections")["items"]) == good * len(NODE_A["connectionList"])
        assert "database_failed" in (tmp_path / "log").read_text()
        assert manager.poll() is None
    with serving(database) as url:  # the disk has room again
        again = Running(url, database, token, key)
        assert again.push(big(names), f"b-{good:03d}").json()["stored"] is True
    assert stored_ids(database) == [f"b-{n:03d}" for n in range(good + 1)]


def big(names: list[str]) -> dict[str, object]:
    """A body of 80 kB: each record has names that this manager does not know, and keeps."""
    records = NODE_A["connectionList"]
    some = len(names) // len(records) + 1
    padded = [record | {"names": names[place * some : (place + 1) * some]} for place, record in enumerate(records)]
    return observed("node-a", padded, [])


def test_row_37_locked_database_is_503_and_the_same_push_is_stored_afterwards(tmp_path: Path) -> None:
    """Another program holds SQLite's write lock (a backup): 503 after the writer's timeout, reads continue."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, key = migrated(database)
    with serving(database) as url:
        running = Running(url, database, token, key)
        with closing(sqlite3.connect(tmp_path / "manager.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = running.push(NODE_A)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
            other.execute("ROLLBACK")
        assert running.push(NODE_A).json()["stored"] is True
