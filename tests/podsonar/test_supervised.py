"""A supervised loop survives every error of a turn, counts it, and keeps its pace."""

import threading

import pytest
from structlog.testing import capture_logs

from podsonar.supervised import Backoff, run_supervised, start_supervised

ERRORS: tuple[Exception, ...] = (
    ValueError("secret"),
    KeyError("uid"),
    OverflowError("int too large"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    RecursionError("depth"),
    MemoryError(),
)


def test_every_error_is_counted_logged_without_its_text_and_followed_by_the_next_turn() -> None:
    """Six types of errors, then a turn that works: the loop has run all seven."""
    stop = threading.Event()
    left = list(ERRORS)
    failed: list[str] = []

    def turn() -> None:
        if not left:
            stop.set()
            return
        raise left.pop(0)

    with capture_logs() as logs:
        run_supervised("watch", turn, stop, failed.append, Backoff(first_seconds=0.001, longest_seconds=0.002))
    assert failed == ["watch"] * len(ERRORS)
    assert [entry["error"] for entry in logs] == [type(error).__name__ for error in ERRORS]
    assert "secret" not in str(logs)
    assert all(entry["place"].startswith("test_supervised.py:") for entry in logs)


def test_started_loop_ends_with_stop() -> None:
    """The thread is named and ends when it is asked to."""
    stop, turns = threading.Event(), threading.Event()
    thread = start_supervised("expire", turns.set, stop)
    assert turns.wait(60)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert thread.name == "expire"


@pytest.mark.parametrize("tries", [0, 1, 4, 5, 100, 10_000])
def test_pause_doubles_up_to_its_limit(tries: int) -> None:
    """Between half and the whole of 1, 2, 4 … 30 s, whatever number of tries there were."""
    limit = min(2.0 ** min(tries, 10), 30.0)
    assert limit / 2 <= Backoff(tries=tries).next_seconds() <= limit


def test_pause_grows_until_it_is_reset() -> None:
    """Progress, and nothing else, begins with the first pause again."""
    backoff = Backoff()
    for _ in range(8):
        backoff.next_seconds()
    assert backoff.next_seconds() >= 15
    backoff.reset()
    assert backoff.next_seconds() <= 1
