"""Every answer of the manager leads to exactly one fate of the batch, against a real server on the loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest

from delivery.batch import Batch, make_batch
from delivery.push import Pusher
from delivery.push_response import ResponseAction, retry_after_seconds
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.errors import SettingsError
from podsonar.model import Window
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering

TOKEN = "t" * 32
WINDOW = Window(1_700_000_000_000_000_000, 1_700_000_120_000_000_000)


@contextmanager
def manager(status: int, headers: dict[str, str], body: bytes = b"{}") -> Iterator[tuple[str, list[Message]]]:
    """A manager that gives one answer to all, and the headers of what it was asked."""
    seen: list[Message] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        seen.append(posted.headers)
        return GivenAnswer(status, body, headers)

    with answering(answer) as url:
        yield url, seen


def waiting(folder: Path, url: str) -> tuple[Pusher, Spool, Batch]:
    """A pusher with one batch in its spool."""
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    spool = Spool(folder / "spool")
    batch = make_batch([b'{"connectionList":[]}'], "connections", WINDOW)
    spool.put(Batch(batch.id, batch.kind, 1 << 62, batch.payload))
    return Pusher(AgentConfiguration(manager=ManagerEndpoint(url=url)), spool, TokenFile(str(token))), spool, batch


@pytest.mark.parametrize(
    ("status", "left", "rejected", "shortest", "longest"),
    [
        (201, 0, 0, 0, 0),
        *[(status, 0, 1, 0, 0) for status in (400, 409, 413, 422)],
        *[(status, 1, 0, 0, 60) for status in (408, 425, 429, 500, 502, 503, 504, 599)],
        *[(status, 1, 0, 30, 30) for status in (200, 202, 301, 307, 401, 403, 404, 405, 406, 411, 415, 431, 501, 505)],
    ],
)
def test_rows_46_47_answer_decides_what_happens_to_the_batch(
    tmp_path: Path, status: int, left: int, rejected: int, shortest: float, longest: float
) -> None:
    """201 forgets, a bad batch is set aside, the rest waits: jittered where it may pass, 30 s where it may not."""
    with manager(status, {"Location": "http://127.0.0.1:1/elsewhere"}) as (url, seen):
        pusher, spool, batch = waiting(tmp_path, url)
        outcome = pusher.step()
    assert outcome.code == str(status)
    assert spool.stats().batches == left
    assert len(list((tmp_path / "spool").glob("rejected/*"))) == rejected
    assert shortest <= outcome.wait_seconds <= longest
    assert [asked["Idempotency-Key"] for asked in seen] == [batch.id]
    assert seen[0]["Authorization"] == f"Token {TOKEN}"
    pusher.close()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:01:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", None),
        ("-5", None),
        ("1000000000", 300.0),
        ("9" * 400, None),
        ("nan", None),
        ("soon", None),
        (None, None),
    ],
)
def test_row_41_retry_after_is_clamped_or_ignored(value: str | None, expected: float | None) -> None:
    """A sane Retry-After is obeyed up to 300 s; any other leaves the normal backoff."""
    assert retry_after_seconds(value, 100.0) == expected


def test_manager_refuses_for_long_probe_stays_at_fifteen_minutes(tmp_path: Path) -> None:
    """After any number of failures a held queue is still probed each 15 minutes."""
    with manager(401, {}) as (url, _seen):
        pusher, spool, _batch = waiting(tmp_path, url)
        pusher.pace.last, pusher.pace.failures = ResponseAction.HOLD, 5000
        assert pusher.step().wait_seconds == 900
    assert spool.stats().batches == 1
    pusher.close()


def test_manager_away_keeps_the_batch(tmp_path: Path) -> None:
    """No answer is an error to retry; nothing is lost."""
    pusher, spool, _batch = waiting(tmp_path, "http://127.0.0.1:1")
    assert pusher.step().code == "error"
    assert spool.stats().batches == 1
    pusher.close()


@pytest.mark.parametrize(
    ("manager_settings", "words"),
    [
        (ManagerEndpoint(ca_file="/nowhere/ca.pem"), "caFile is '/nowhere/ca.pem'"),
        (ManagerEndpoint(url="http://example.org"), "expected https"),
        (ManagerEndpoint(url="https://me:hidden@example.org"), "names a user"),
        (ManagerEndpoint(url="ftp://example.org"), "expected https://host"),
    ],
)
def test_manager_that_cannot_be_trusted_is_refused_at_start(
    tmp_path: Path, manager_settings: ManagerEndpoint, words: str
) -> None:
    """A URL or authority that would leak or cannot work stops the program, and no password is shown."""
    with pytest.raises(SettingsError, match=words) as error:
        Pusher(AgentConfiguration(manager=manager_settings), Spool(tmp_path), TokenFile("token"))
    assert "hidden" not in str(error.value)
