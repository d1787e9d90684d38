"""A sender that is killed at any moment: what its spool had is stored at the manager, and nothing is stored twice."""

import os
import secrets
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.server import serving
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.acceptance.test_manager_dies import stored_ids
from tests.manager.fresh_database import migrated

ROUNDS = int(os.environ.get("PODSONAR_TEST_KILLS", "8"))  # 200 by hand
LAST_SECONDS = 120.0


def test_killed_sender_loses_nothing_and_sends_nothing_twice(tmp_path: Path, repository: Path) -> None:
    """SIGKILL while it writes, sends, waits for an answer or removes a file; the rest is sent by the next one."""
    database = f"sqlite:///{tmp_path}/manager.db"
    token, _key = migrated(database)
    (tmp_path / "token").write_text(token)
    spooled: set[str] = set()
    lost: list[tuple[str, str, int]] = []
    with serving(database) as url:
        for turn in range(ROUNDS):
            command = [sys.executable, "-m", "tests.acceptance.sender_program", str(tmp_path), url, str(turn)]
            with subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as sender:
                assert sender.stdout is not None
                first = sender.stdout.readline()
                time.sleep(secrets.randbelow(100_000) / 1_000_000)
                sender.kill()
                spooled |= {
                    line.decode().strip() for line in (first, *sender.stdout.readlines()) if line.endswith(b"\n")
                }
        with closing(Spool(tmp_path / "spool", on_dropped=lambda *dropped: lost.append(dropped))) as spool:
            settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
            with closing(Pusher(settings, spool, TokenFile(str(tmp_path / "token")))) as pusher:
                assert pusher.flush(LAST_SECONDS)
    stored = stored_ids(database)
    assert len(spooled) >= ROUNDS
    assert sorted(set(stored)) == stored
    assert spooled <= set(stored)
    assert lost == []
    assert not list((tmp_path / "spool").glob("*.tmp"))
