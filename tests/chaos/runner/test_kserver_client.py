"""chaos/runner/kserver_client.py: what a strange proxy answers, or adds to an answer, ends nothing."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message

import pytest

from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.environment import RunnerEnvironment
from chaos.runner.faults.context import FaultContext
from chaos.runner.kserver_client import Kserver, KserverError, KserverUnavailableError
from chaos.runner.run_state import RunState
from chaos.runner.steps import Steps, wall_clock, watch_for_stop
from chaos.task_action import EdgeInputs
from podsonar.supervised import start_supervised
from tests.answering_server import GivenAnswer, ReceivedRequest, answering

KEY = "key-of-the-runner"
RUN = b'{"data": {"phase": "Running"}}'


@contextmanager
def behind_a_strange_proxy(status: int, seen: list[Message], bodies: Sequence[bytes] = ()) -> Iterator[Kserver]:
    """A runner's client of a proxy whose answers have a cookie that no request may carry, and the bodies in turn."""
    waiting = list(bodies)

    def answer(received: ReceivedRequest) -> GivenAnswer:
        seen.append(received.headers)
        return GivenAnswer(status, waiting.pop(0) if waiting else RUN, {"Set-Cookie": "a=\\udcff\xff; Path=/"})

    with answering(answer) as url:
        settings = RunnerEnvironment(
            url, "i", "a", "o", "p", "e", "ns", "n", "", False, "", access_key=KEY, log_token=""
        )
        kserver = Kserver(settings, "e", "r", "n")
        with kserver.http:
            yield kserver


def test_cookie_is_not_kept() -> None:
    """Every later request is as the first."""
    seen: list[Message] = []
    with behind_a_strange_proxy(200, seen) as kserver:
        for _ in range(3):
            assert kserver.fetch()["phase"] == "Running"
    assert [headers["X-Access-Key"] for headers in seen] == [KEY] * 3
    assert all("Cookie" not in headers for headers in seen)


@pytest.mark.parametrize(
    ("status", "error"), [(503, KserverUnavailableError), (401, KserverError), (302, KserverError), (404, KserverError)]
)
def test_status_decides_whether_trying_again_may_help(status: int, error: type[KserverError]) -> None:
    """503 is away, all others refuse; the key is in no message."""
    with behind_a_strange_proxy(status, []) as kserver, pytest.raises(error) as found:
        kserver.fetch()
    assert type(found.value) is error
    assert KEY not in str(found.value)


@pytest.mark.parametrize(
    "body", [b"<html>login</html>", b"", b"null", b"[]", b'{"data": null}', b'{"data": [1]}', b"\xff"]
)
def test_success_that_is_no_run_is_tried_again(body: bytes) -> None:
    """A page of a proxy with status 200 is no answer of the manager."""
    with behind_a_strange_proxy(200, [], [body]) as kserver:
        with pytest.raises(KserverUnavailableError, match="no run"):
            kserver.fetch()
        assert kserver.fetch()["phase"] == "Running"


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b'{"settled": true}', b"[]"])
def test_success_that_is_no_judgement_is_asked_for_again(body: bytes) -> None:
    """An edgeProbe asks until its time is over; a proxy's page decides nothing."""
    judged = b'{"outcome": "Pass", "reason": "", "settled": true, "windows": {}}'
    with behind_a_strange_proxy(200, [], [body, judged]) as kserver:
        with pytest.raises(KserverUnavailableError, match="no judgement"):
            kserver.ask_edge(EdgeInputs("a -> b"), 1.0, 2.0)
        assert kserver.ask_edge(EdgeInputs("a -> b"), 1.0, 2.0)["outcome"] == "Pass"


@pytest.mark.parametrize("body", [b"<html>login</html>", b"", b"{}"])
def test_event_is_sent_until_the_manager_has_received_it(body: bytes) -> None:
    """What a proxy answers with status 200 is no receipt: nothing may be injected on its word."""
    receipt = b"Received task callback for taskType: WORKFLOW_EVENT, response: Workflow run received"
    seen: list[Message] = []
    with behind_a_strange_proxy(200, seen, [body, body, receipt]) as kserver:
        kserver.post({"name": "e"}, completed=False, seconds=30)
    assert len(seen) == 3


def no_fault(step: str) -> FaultContext:
    """No step is run in these tests."""
    raise AssertionError(step)


@pytest.mark.parametrize(
    "bodies", [[b"<html>"], [b'{"data": {"stopRequested": "now"}}'], [b'{"data": {"stopRequested": [1]}}', b"[]"]]
)
def test_odd_answer_ends_no_watch_for_a_stop(bodies: list[bytes]) -> None:
    """Whoever asks the run to stop afterwards is heard."""
    stop = b'{"data": {"stopRequested": {"reason": "enough"}}}'
    run = {"executionData": {"name": "e", "nodes": {}}, "experimentRunID": "r"}
    over = threading.Event()
    with behind_a_strange_proxy(200, [], [*bodies, stop]) as kserver:
        steps = Steps(kserver, RunState(run, wall_clock), no_fault, lambda: None, ProbeEnvironment())
        thread = start_supervised("stop", lambda: watch_for_stop(steps, 0.01, over), over)
        assert steps.stop.wait(20)
        over.set()
        thread.join(20)
    assert steps.stop_reason == "stop asked: enough"
