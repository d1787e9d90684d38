"""SIGKILL of sender, manager and database at any moment, on both databases: nothing is lost, nothing stored twice."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.store.batches.sequences import count_missing
from manager.store.database import Store
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.acceptance.agent_process import free_port
from tests.acceptance.test_manager_dies import process, stored_ids
from tests.manager.fresh_database import migrated
from tests.manager.postgresql import PostgresqlServer

ROUNDS = int(os.environ.get("PODSONAR_TEST_KILLS", "10"))  # 200 by hand
LAST_SECONDS = 240.0

pytestmark = pytest.mark.long


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresqlServer | None]:
    """A server that may be killed; None: SQLite is part of the manager."""
    made = PostgresqlServer() if request.param == "postgresql" else None
    yield made
    if made:
        made.remove()


@pytest.mark.timeout(240 + 20 * ROUNDS)
def test_rows_38_50_killed_sender_manager_and_database_lose_nothing_and_double_nothing(
    server: PostgresqlServer | None, tmp_path: Path, repository: Path
) -> None:
    """In each round one of them dies amid its work and comes back; in the end every spooled batch is stored once."""
    database = server.new_database() if server else f"sqlite:///{tmp_path}/manager.db"
    token, _key = migrated(database)
    (tmp_path / "token").write_text(token)
    port, spooled = free_port(), set()
    lost: list[tuple[str, str, int]] = []
    with ExitStack() as stack:
        manager = stack.enter_context(process(tmp_path, database, port))
        for turn in range(ROUNDS):
            victim = ("sender", "manager", "database")[turn % (3 if server else 2)]
            command = [sys.executable, "-m", "tests.acceptance.sender_program", str(tmp_path)]
            command += [f"http://127.0.0.1:{port}", str(turn)]
            with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sender:
                assert sender.stdout is not None
                first = sender.stdout.readline()
                time.sleep(secrets.randbelow(100_000) / 1_000_000)
                if victim == "manager":
                    manager.kill()
                    manager.wait()
                    manager = stack.enter_context(process(tmp_path, database, port))
                elif server and victim == "database":
                    server.crash()
                    server.start()  # it recovers from its log
                time.sleep(secrets.randbelow(100_000) / 1_000_000)
                sender.kill()
                lines = (first, *sender.stdout.readlines())
                spooled |= {line.decode().strip() for line in lines if line.startswith(b"c-") and line.endswith(b"\n")}
        with closing(Spool(tmp_path / "spool", on_dropped=lambda *dropped: lost.append(dropped))) as spool:
            settings = AgentConfiguration(manager=ManagerEndpoint(url=f"http://127.0.0.1:{port}"))
            with closing(Pusher(settings, spool, TokenFile(str(tmp_path / "token")))) as pusher:
                assert pusher.flush(LAST_SECONDS)
    stored = stored_ids(database)
    assert len(spooled) >= ROUNDS
    assert sorted(set(stored)) == stored
    assert spooled <= set(stored)
    assert lost == []
    with closing(Store(database)) as store:
        assert count_missing(store) == 0
    print(f"{ROUNDS} rounds: {len(stored)} batches, each stored once")  # noqa: T201
