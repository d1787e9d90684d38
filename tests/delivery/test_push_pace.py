"""When the next batch is sent: behind failures, after an outage, and by Retry-After; no error ends the loop."""

import random
import threading
import time
from pathlib import Path

from delivery.push import MOST_TRIES, PushOutcome
from delivery.push_response import PushPace, ResponseAction, retry_after_seconds
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.delivery.pushers import pusher_of


def test_batch_that_fails_thirty_times_steps_behind_the_others(tmp_path: Path) -> None:
    """A batch that the manager answers with 500 each time holds up the others no longer than that."""
    stored: list[str] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        name = posted.headers["Idempotency-Key"]
        if name == "c-0":
            return GivenAnswer(500)
        stored.append(name)
        return GivenAnswer(201)

    with answering(answer) as url, pusher_of(tmp_path, url, 3) as pusher:
        codes = [pusher.step().code for _ in range(MOST_TRIES + 2)]
        assert codes == ["500"] * MOST_TRIES + ["201", "201"]
        assert stored == ["c-1", "c-2"]
        assert [entry.batch_id for entry in pusher.spool.waiting()] == ["c-0"]


def test_error_that_no_step_foresaw_ends_no_loop(tmp_path: Path) -> None:
    """It is counted, and the loop goes on with the next turn."""
    failures: list[str] = []
    stop, delivered = threading.Event(), threading.Event()
    with answering(lambda _posted: GivenAnswer(201)) as url, pusher_of(tmp_path, url) as pusher:
        pusher.on_failure = failures.append
        errors = iter([RuntimeError("odd"), KeyError("odder")])

        def on_outcome(outcome: PushOutcome) -> None:
            if error := next(errors, None):
                raise error
            if outcome.code == "idle":
                delivered.set()

        pusher.on_outcome = on_outcome
        thread = threading.Thread(target=pusher.run, args=(stop,))
        thread.start()
        delivered.wait()
        stop.set()
        pusher.spool.wakeup.set()
        thread.join()
    assert failures == ["push", "push"]
    assert pusher.unready is None


def test_loop_that_does_not_come_back_is_not_ready(tmp_path: Path) -> None:
    """Readiness follows the loop's progress: past the time of a step and its wait it is `push_stalled`."""
    with pusher_of(tmp_path, "http://127.0.0.1:1") as pusher:
        assert pusher.unready is None
        pusher.due_at = time.monotonic() + 60
        assert pusher.unready is None
        pusher.due_at = time.monotonic() - 1
        assert pusher.unready == "push_stalled"


def test_first_hold_after_an_outage_is_short() -> None:
    """An hour of failures of another kind does not lengthen it, and a peer that is back is asked within seconds."""
    pace = PushPace()
    for _ in range(100):
        assert 0 <= pace.next_seconds(ResponseAction.RETRY, None) <= 60
    assert pace.next_seconds(ResponseAction.HOLD, None) == 30
    for _ in range(20):
        pace.next_seconds(ResponseAction.HOLD, None)
    assert pace.next_seconds(ResponseAction.HOLD, None) == 900
    assert 0 <= pace.next_seconds(ResponseAction.RETRY, None) <= 1


def test_no_retry_after_is_beyond_its_limits() -> None:
    """Random headers: a wait within 0 and 300 s, or none."""
    chance = random.Random(3)  # noqa: S311
    words = [
        "Thu",
        ",",
        " ",
        "01",
        "Jan",
        "1970",
        "00:01:50",
        "GMT",
        "-0000",
        "99999",
        "\u0667",
        "1_0",
        "e",
        "\0",
        "+",
        "(",
    ]
    for _ in range(5000):
        value = "".join(chance.choice(words) for _ in range(chance.randrange(10)))
        seconds = retry_after_seconds(value, 100.0)
        assert seconds is None or 0 < seconds <= 300
    assert retry_after_seconds("\u0667", 0) is None
    assert retry_after_seconds("1_0", 0) is None
