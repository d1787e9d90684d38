"""chaos/runner/step_logs.py: a step's lines reach its stream in order, once, or are counted; nobody waits for them."""

import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
import structlog

from chaos.runner import step_logs
from chaos.runner.step_logs import LINES_KEPT, StepLogs

RUN = "run-1"


class GivenService:
    """A log service that answers a request as the test says. What it does not check: shapes, which the manager does."""

    def __init__(self, status: Callable[[str], int] = lambda _method: 204) -> None:
        self.status = status
        self.streams: dict[str, list[dict[str, Any]]] = {}
        self.requests: list[tuple[str, str]] = []

    def send(self, method: str, key: str, lines: list[dict[str, Any]] | None = None) -> int:
        """Keep what is taken."""
        status = self.status(method)
        self.requests.append((method, key))
        if status == 204 and method == "PUT":
            self.streams.setdefault(key, []).extend(lines or [])
        return status

    def texts(self, step: str) -> list[str]:
        """What the stream of a step has."""
        return [line["out"] for line in self.streams.get(f"{RUN}-{step}", [])]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log service that was away is asked again soon."""
    monkeypatch.setattr(step_logs, "AGAIN_SECONDS", 0.05)


def test_each_step_has_its_stream_which_is_closed_behind_its_lines() -> None:
    """Lines are numbered from 1 by one writer; opened once, closed last."""
    service = GivenService()
    logs = StepLogs(service, RUN)
    for number in range(450):
        logs.writer_of("a")(f"line {number}")
        logs.writer_of("b")("other", "error")
    logs.close("a")
    logs.end()
    assert service.texts("a") == [f"line {number}" for number in range(450)]
    assert [line["pos"] for line in service.streams["run-1-a"]] == list(range(1, 451))
    assert {line["args"]["PodName"] for line in service.streams["run-1-a"]} == {logs.writer}
    assert service.streams["run-1-b"][0]["level"] == "error"
    of_a = [method for method, key in service.requests if key == "run-1-a"]
    assert (of_a[0], of_a.count("POST"), of_a[-1], of_a.count("DELETE")) == ("POST", 1, "DELETE", 1)
    assert logs.lost == 0


def test_error_that_nobody_foresaw_loses_no_line() -> None:
    """The turn that it ends is followed by another one, with the same lines."""
    errors = [ValueError("odd"), OSError("odd")]

    def status(method: str) -> int:
        if method == "PUT" and errors:
            raise errors.pop()
        return 204

    service = GivenService(status)
    logs = StepLogs(service, RUN)
    for number in range(5):
        logs.write("a", str(number))
    wait_until(lambda: len(service.texts("a")) == 5)
    logs.close("a")
    logs.end()
    assert service.texts("a") == [str(number) for number in range(5)]
    assert logs.lost == 0


def test_what_was_written_while_the_service_was_away_comes_later_in_order() -> None:
    """Also if it goes away between opening and writing, or before the end."""
    status = {"PUT": 0, "POST": 503, "DELETE": 502}
    service = GivenService(lambda method: status[method])
    logs = StepLogs(service, RUN)
    logs.pace.first_seconds = 0.02
    for number in range(5):
        logs.write("a", str(number))
    for method in ("POST", "PUT", "DELETE"):
        seen = len(service.requests)
        wait_until(lambda seen=seen: len(service.requests) > seen + 1)
        status[method] = 204
        if method == "PUT":
            wait_until(lambda: len(service.texts("a")) == 5)
            logs.close("a")
    logs.end()
    assert service.texts("a") == ["0", "1", "2", "3", "4"]
    assert (service.requests[-1], logs.lost) == (("DELETE", "run-1-a"), 0)


def test_beyond_the_limit_the_oldest_lines_are_lost_and_counted_where_they_were() -> None:
    """The note has the place of the last line that was lost, so that the gap is told twice: there and by `info`."""
    away = threading.Event()
    service = GivenService(lambda _method: 204 if away.is_set() else 0)
    logs = StepLogs(service, RUN)
    logs.pace.first_seconds = 0.02
    for number in range(1, LINES_KEPT + 301):
        logs.write("a", str(number))
    wait_until(lambda: logs.lost >= 300 - step_logs.LINES_PER_REQUEST and not logs.sending)
    away.set()
    logs.end()
    first, *rest = service.streams["run-1-a"]
    assert first["out"].startswith(f"{logs.lost} lines were lost here")
    assert (first["pos"], first["level"], logs.lost) == (300, "warn", 300)
    assert [line["pos"] for line in rest] == list(range(301, LINES_KEPT + 301))


def test_lines_of_a_closed_stream_that_were_lost_are_told_before_its_end() -> None:
    """Nothing of it is left but the note."""
    away = threading.Event()
    service = GivenService(lambda _method: 204 if away.is_set() else 0)
    logs = StepLogs(service, RUN)
    logs.pace.first_seconds = 0.02
    logs.write("a", "gone")
    logs.close("a")
    for number in range(LINES_KEPT + 1):
        logs.write("b", str(number))
    wait_until(lambda: not logs.sending and logs.lost >= 1)
    away.set()
    logs.end()
    assert service.texts("a") == ["1 lines were lost here: the log service did not take them in time"]
    assert ("DELETE", "run-1-a") in service.requests


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token_ends_the_sending_and_nothing_else(status: int) -> None:
    """What waits is counted, nothing more is sent, the end is at once."""
    service = GivenService(lambda _method: status)
    logs = StepLogs(service, RUN)
    logs.write("a", "one")
    wait_until(lambda: logs.lost == 1)
    logs.write("a", "two")
    logs.close("a")
    begun = time.monotonic()
    logs.end()
    assert (time.monotonic() - begun < 1, service.requests) == (True, [("POST", "run-1-a")])


def test_lines_that_cannot_be_taken_are_counted_and_hold_up_nothing() -> None:
    """400 for some lines: the stream is closed all the same, with a note in their place."""
    answers = iter([400])
    service = GivenService(lambda method: next(answers, 204) if method == "PUT" else 204)
    logs = StepLogs(service, RUN)
    logs.write("a", "odd")
    logs.close("a")
    logs.end()
    assert logs.lost == 1
    assert service.texts("a") == ["1 lines were lost here: the log service did not take them in time"]


def test_service_that_hangs_holds_up_neither_a_step_nor_the_end() -> None:
    """Ten thousand lines are written in no time; the end waits for as long as it is told."""
    hanging = threading.Event()

    def hang(_method: str) -> int:
        hanging.wait(30)
        return 0

    logs = StepLogs(GivenService(hang), RUN)
    begun = time.monotonic()
    for number in range(10_000):
        logs.write("a", str(number))
    assert time.monotonic() - begun < 10
    begun = time.monotonic()
    logs.end(0.3)
    assert time.monotonic() - begun < 2
    assert logs.lost == 10_000
    hanging.set()


def test_own_log_of_the_runner_has_the_order_of_the_stream() -> None:
    """Probes and the step write at the same time: a reader finds the lines of one in the other."""
    service = GivenService()
    logs = StepLogs(service, RUN)
    written: list[str] = []

    def keep(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        written.append(event["text"])
        time.sleep(0.001)  # others have their turn before this line's writer goes on
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    writers = [threading.Thread(target=lambda n=n: [logs.write("a", f"{n} {m}") for m in range(20)]) for n in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    logs.end()
    assert service.texts("a") == written
    assert len(written) == 80


def test_keys_of_the_run_and_passwords_in_urls_are_not_written() -> None:
    """Wherever they stand in a text; a long text is cut and says so."""
    service = GivenService()
    logs = StepLogs(service, RUN, ("access-key-1", "", "log-token-1"))
    logs.write("a", "it said access-key-1 and log-token-1 of https://me:pass@host/x?token=abc")
    logs.write("a", "x" * 3000)
    logs.end()
    first, second = service.texts("a")
    assert first == "it said [redacted] and [redacted] of https://[redacted:userinfo]@host/x?token=[redacted:parameter]"
    assert second.endswith("x… 1000 characters left out")


def test_without_a_log_service_nothing_is_kept() -> None:
    """The runner's own log has the lines."""
    logs = StepLogs(None, RUN)
    logs.write("a", "one")
    logs.close("a")
    logs.end()
    assert (len(logs.waiting), logs.thread) == (0, None)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
