"""An agent that pushes more than its quota waits; nobody else does, and nothing of it is lost."""

import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.ingest.quotas import Bucket
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from podsonar.timestamp import NS_PER_SECOND
from tests.acceptance.test_manager_dies import stored_ids
from tests.manager.manager_process import ManagerProcess, manager_process
from tests.manager.shop import NODE_A

PER_MINUTE = 60


def test_bucket_gives_its_allowance_at_once_and_the_rest_evenly() -> None:
    """A minute's worth, then one per second; the wait is what is lacking."""
    bucket = Bucket(60, 60.0)
    assert [bucket.take(1, 0) for _ in range(60)] == [0] * 60
    assert bucket.take(1, 0) == 1
    assert bucket.take(30, 0) == 30
    assert bucket.take(1, NS_PER_SECOND) == 0
    assert bucket.take(1, NS_PER_SECOND) == 1


def test_bucket_lends_what_is_larger_than_itself_and_ignores_a_clock_set_back() -> None:
    """A body larger than the allowance goes when the bucket is full, and is paid for; no time gives nothing."""
    bucket = Bucket(60, 60.0)
    assert bucket.take(600, 0) == 0
    assert bucket.take(1, 60 * NS_PER_SECOND) > 1
    assert bucket.take(1, -60 * NS_PER_SECOND) > 1
    assert Bucket(0, 60.0).take(1 << 60, 0) == 0


@pytest.fixture
def limited(tmp_path: Path, database: str) -> Iterator[ManagerProcess]:
    """A manager that takes a batch per second and agent, and a MiB per minute."""
    settings = {"PODSONAR_QUOTA_BATCHES_PER_MINUTE": str(PER_MINUTE), "PODSONAR_QUOTA_BYTES_PER_MINUTE": str(1 << 20)}
    with manager_process(tmp_path, database, settings) as manager:
        yield manager


def other_agent(manager: ManagerProcess) -> ManagerProcess:
    """The same manager as another agent sees it."""
    with closing(Store(manager.database)) as store:
        token = create_token(store, "ingest", "other", 1, secrets.token_bytes)
    return replace(manager, token=token.text())


@pytest.mark.long
def test_agent_beyond_its_quota_gets_429_and_others_are_served(limited: ManagerProcess) -> None:
    """Retry-After says when; the other agent's batches are stored in between."""
    other = other_agent(limited)
    began, stored, refused = time.monotonic(), 0, 0
    while refused < 20:
        answer = limited.push(NODE_A, f"b-{stored + refused}")
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            refused += 1
            continue
        assert answer.status_code == 201
        stored += 1
        assert stored <= PER_MINUTE + (time.monotonic() - began) * PER_MINUTE / 60 + 1
    assert stored >= PER_MINUTE
    assert other.push(NODE_A, "b-0").status_code == 201
    assert limited.metric('podsonar_manager_quota_refusals_total{quota="batches_per_minute"}') == refused
    # Bytes of bodies that are refused count, too; two of them leave so little that half a minute would not do.
    noise = secrets.token_bytes(510_000)
    assert [other.push(noise, f"n-{number}").status_code for number in range(3)] == [400, 400, 429]
    assert limited.metric('podsonar_manager_quota_refusals_total{quota="bytes_per_minute"}') == 1


@pytest.mark.long
def test_backlog_beyond_the_quota_arrives_whole(limited: ManagerProcess, tmp_path: Path) -> None:
    """The sender waits as told, and every batch is stored once."""
    while limited.push(NODE_A, f"b-{secrets.token_hex(4)}").status_code == 201:
        pass
    before = stored_ids(limited.database)
    (tmp_path / "token").write_text(limited.token)
    names = [f"c-{number}" for number in range(4)]
    with closing(Spool(tmp_path / "spool")) as spool:
        for name in names:
            spool.put(Batch(name, "connections", time.time_ns(), pack(NODE_A)))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=limited.url))
        with closing(Pusher(settings, spool, TokenFile(str(tmp_path / "token")))) as pusher:
            assert pusher.flush(60)
    assert stored_ids(limited.database) == sorted([*before, *names])
