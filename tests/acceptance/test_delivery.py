"""The contract between agent and manager, with a real spool, pusher, server and store."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.server import serving
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.manager.fresh_database import migrated
from tests.manager.shop import NODE_A

NEVER_EXPIRES_NS = 1 << 62
CONNECTIONS = "/api/v1/agents/lab/connections"


class Delivery:
    """A manager's database with its tokens, and an agent's spool with one batch."""

    def __init__(self, folder: Path) -> None:
        self.database = f"sqlite:///{folder}/manager.db"
        token, self.key = migrated(self.database)
        self.token_file = folder / "token"
        self.token_file.write_text(token + "\n")
        self.spool = Spool(folder / "spool")
        self.batch = Batch("c-1-acceptance", "connections", NEVER_EXPIRES_NS, pack(NODE_A))
        self.spool.put(self.batch)
        self.closing = ExitStack()
        self.closing.callback(self.spool.close)

    def pusher(self, url: str) -> Pusher:
        """A pusher of the spool to that manager."""
        made = Pusher(AgentConfiguration(manager=ManagerEndpoint(url=url)), self.spool, TokenFile(str(self.token_file)))
        self.closing.callback(made.close)
        return made

    def waiting(self) -> Batch | None:
        """The batch that waits, as it was put: the place that the spool gave it is left out."""
        found = self.spool.oldest()
        return replace(found, sequence=None) if found else None

    def stored(self, url: str) -> list[str]:
        """The id of every connection that the manager returns."""
        answer = httpx.get(
            url + CONNECTIONS, headers={"X-API-Key": self.key}, params={"limit": 100}, timeout=30, trust_env=False
        )
        if answer.status_code == 404:  # an agent that never pushed has no connections yet
            return []
        assert answer.status_code == 200, answer.text
        return sorted(str(item["id"]) for item in answer.json()["items"])


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    """One batch that waits for a manager."""
    made = Delivery(tmp_path)
    with made.closing:
        yield made


def test_manager_stopped_and_started_batch_arrives_once(delivery: Delivery) -> None:
    """A batch survives the manager's absence in the spool, and is stored once when the manager is back."""
    with serving(delivery.database) as url:
        pusher = delivery.pusher(url)
        assert delivery.stored(url) == []
    for _ in range(2):
        assert pusher.step().code == "error"
    assert delivery.waiting() == delivery.batch
    with serving(delivery.database, urlsplit(url).netloc) as again:
        assert again == url
        assert [pusher.step().code for _ in range(2)] == ["201", "idle"]
        found = delivery.stored(url)
    assert len(found) == len(set(found)) == len(NODE_A["connectionList"])
    assert delivery.spool.stats().batches == 0


def test_same_batch_sent_twice_is_stored_once_and_answered_201_both_times(delivery: Delivery) -> None:
    """A lost answer leads to a second push of the same id: the manager answers 201 and changes nothing."""
    with serving(delivery.database) as url:
        pusher = delivery.pusher(url)
        assert pusher.step().code == "201"
        first = delivery.stored(url)
        delivery.spool.put(delivery.batch)
        assert pusher.step().code == "201"
        assert delivery.stored(url) == first
    assert len(first) == len(NODE_A["connectionList"])


def test_wrong_token_is_401_and_the_batch_stays(delivery: Delivery) -> None:
    """A refused agent keeps its data: the batch waits in the spool until the token file holds the right token."""
    right = delivery.token_file.read_text()
    delivery.token_file.write_text(right.strip()[:-4] + "AAAA\n")
    with serving(delivery.database) as url:
        pusher = delivery.pusher(url)
        assert pusher.step().code == "401"
        assert delivery.waiting() == delivery.batch
        assert delivery.stored(url) == []
        delivery.token_file.unlink()
        delivery.token_file.write_text(right)
        assert pusher.step().code == "201"
        assert len(delivery.stored(url)) == len(NODE_A["connectionList"])
