"""Streams that nobody has written to for the manager's days are deleted whole; all others stay as they are."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from chaos.control.logs.retention import delete_outdated_logs
from manager.store.database import Store
from manager.store.logs.lines import deflate
from manager.store.logs.reads import find_gaps, find_stream, list_chunks, read_after, read_chunk
from manager.store.logs.streams import append_lines, close_stream, open_stream
from manager.store.logs.tables import LOG_BLOBS, LOG_CHUNKS, LOG_STREAMS, LOG_TOKENS
from manager.store.logs.tokens import create_log_token
from manager.store.retention import DAY_NS, ROWS
from tests.chaos.conftest import ACCOUNT, KINDS
from tests.chaos.control.logs.test_streams import line
from tests.manager.conftest import database_of
from tests.manager.fresh_database import migrated

DAYS = 7
NOW_NS = 100 * DAY_NS
OLD_NS = NOW_NS - DAYS * DAY_NS - 1


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty database of each kind."""
    with database_of(request, tmp_path) as database:
        migrated(database)
        with closing(Store(database)) as made:
            yield made


def write(store: Store, key: str, first: int, now_ns: int, *, requests: int = 1, account: str = ACCOUNT) -> None:
    """Append requests of one line each."""
    with store.writing() as connection:
        for pos in range(first, first + requests):
            append_lines(connection, account, key, "w", [line(pos)], now_ns)


def positions(store: Store, key: str, account: str = ACCOUNT) -> list[int]:
    """The positions that are stored, as they came."""
    return [chunk.first_pos for chunk in list_chunks(store, account, key)]


def test_what_nobody_wrote_to_is_deleted_and_nothing_else(store: Store) -> None:
    """A day of writing, opening or closing counts; more rows than one transaction deletes are all deleted."""
    write(store, "old", 1, OLD_NS, requests=ROWS + 7)
    write(store, "old", 1, OLD_NS, requests=3, account="other")
    write(store, "old-but-written", 1, OLD_NS, requests=3)
    write(store, "old-but-written", 4, NOW_NS)
    write(store, "just-young-enough", 1, OLD_NS + 1)
    for key, change in (("old-but-closed", close_stream), ("old-but-opened", open_stream)):
        write(store, key, 1, OLD_NS)
        with store.writing() as connection:
            if change is open_stream:
                close_stream(connection, ACCOUNT, key, OLD_NS)
            change(connection, ACCOUNT, key, NOW_NS)
    assert delete_outdated_logs(store, NOW_NS, DAYS) == {"log_chunks": ROWS + 10, "log_streams": 2}
    assert delete_outdated_logs(store, NOW_NS, DAYS) == {}
    for account in (ACCOUNT, "other"):
        assert find_stream(store, account, "old") is None
        assert read_after(store, account, "old", 0) is None
    assert positions(store, "old-but-written") == [1, 2, 3, 4]
    assert all(positions(store, key) == [1] for key in ("just-young-enough", "old-but-closed", "old-but-opened"))


def test_stream_that_is_written_again_begins_anew(store: Store) -> None:
    """After it was deleted, the same key and positions are a new stream with its own numbers."""
    write(store, "again", 1, OLD_NS, requests=3)
    delete_outdated_logs(store, NOW_NS, DAYS)
    write(store, "again", 1, NOW_NS, requests=2)
    found = find_stream(store, ACCOUNT, "again")
    assert found is not None
    assert (found["lines"], found["duplicate_lines"], positions(store, "again")) == (2, 0, [1, 2])
    assert find_gaps(store, ACCOUNT, "again") == []


def test_tail_over_a_stream_whose_lines_are_being_deleted_goes_on(store: Store) -> None:
    """Between the deletion of lines and of their stream a reader finds none; what is written then, it finds."""
    write(store, "between", 1, OLD_NS, requests=3)
    with store.writing() as connection:
        connection.execute(LOG_CHUNKS.delete())
    passage = read_after(store, ACCOUNT, "between", 1)
    assert passage is not None
    assert (passage.lines, passage.is_closed) == ([], False)
    write(store, "between", 4, NOW_NS)
    later = read_after(store, ACCOUNT, "between", 1)
    assert later is not None
    assert (later.first_sequence, len(later.lines)) == (4, 1)
    assert read_chunk(store, ACCOUNT, "between", 1) == []


def test_outdated_blobs_and_tokens_go_and_valid_ones_stay(store: Store) -> None:
    """A blob by the day it was uploaded, a token by the day it expired; one without such a day stays."""
    row = {"account": ACCOUNT, "bytes": 1, "body": deflate(b"x")}
    with store.writing() as connection:
        for key, when in (("old", OLD_NS), ("new", NOW_NS)):
            connection.execute(LOG_BLOBS.insert(), [row | {"key": key, "sha256": key, "uploaded_ns": when}])
        for expires_ns in (OLD_NS, NOW_NS, None):
            create_log_token(connection, ACCOUNT, "", 1, secrets.token_bytes, expires_ns=expires_ns)
    assert delete_outdated_logs(store, NOW_NS, DAYS) == {"log_blobs": 1, "log_tokens": 1}
    with store.reading() as connection:
        assert connection.execute(select(LOG_BLOBS.c.key)).scalars().all() == ["new"]
        assert set(connection.execute(select(LOG_TOKENS.c.expires_ns)).scalars()) == {NOW_NS, None}
        assert connection.execute(select(func.count()).select_from(LOG_STREAMS)).scalar() == 0
