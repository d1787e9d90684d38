"""chaos/probes/prom_probe.py: one number of a Prometheus, compared; every other answer is a failure or an error."""

from typing import Any

import orjson
import pytest

from chaos.probes.prom_probe import try_prometheus
from chaos.task_action import Comparator, PromInputs
from tests.answering_server import GivenAnswer, ReceivedRequest, answering

BELOW_FIVE = Comparator("float", "<", "5")


def vector(*values: str) -> dict[str, Any]:
    """An answer with so many series."""
    result = [{"metric": {}, "value": [1.0, value]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "text"),
    [
        (200, vector("4.5"), "Passed", "4.5: < 5"),
        (200, vector("5"), "Failed", "5: expected < 5"),
        (200, {"data": {"resultType": "scalar", "result": [1.0, "1"]}}, "Passed", "1: < 5"),
        (200, vector(), "Failed", "has no result"),
        (200, vector("1", "2"), "Error", "vector of 2: expected one number"),
        (200, {"data": {"resultType": "matrix", "result": []}}, "Error", "matrix of 0"),
        (200, {"anything": 1}, "Error", "no answer of a Prometheus"),
        (200, vector("NaN"), "Failed", "nan"),
        (200, vector("many"), "Error", "unable to compare"),
        (400, {"status": "error", "errorType": "bad_data"}, "Error", "Prometheus answered 400"),
        (503, {}, "Failed", "Prometheus answered 503"),
    ],
)
def test_answer_is_one_number_or_says_why_not(status: int, body: Any, outcome: str, text: str) -> None:
    """A row per kind of answer; the query arrives as it was written."""
    paths = []

    def answer(received: ReceivedRequest) -> GivenAnswer:
        paths.append(received.path)
        return GivenAnswer(status, orjson.dumps(body))

    with answering(answer) as url:
        found = try_prometheus(PromInputs(f"{url}/", 'sum(up{job="a b"})', BELOW_FIVE), 10)
    assert (found.outcome, text.lower() in found.text.lower()) == (outcome, True), found
    assert paths == ["/api/v1/query?query=sum%28up%7Bjob%3D%22a+b%22%7D%29"]


def test_nobody_there_is_a_failure_and_no_url_an_error() -> None:
    """What a fault may break fails; what can never work is an error."""
    with answering(lambda _received: GivenAnswer(200)) as url:
        pass  # it is gone again
    assert try_prometheus(PromInputs(url, "up"), 5).outcome == "Failed"
    assert try_prometheus(PromInputs("prometheus:9090", "up"), 5).outcome == "Error"
