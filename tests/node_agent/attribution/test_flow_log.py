"""node_agent/attribution/flow_log.py: a published log gives its 9 connections, and a reason for every other line."""

from collections import Counter
from pathlib import Path

import orjson
import pytest

from node_agent.attribution.flow_decisions import Decision
from node_agent.attribution.flow_log import WORDS, SkippedLine, decision_line, is_log, read_log
from podsonar.directory_answer import Answer
from tests.node_agent.stages import WEB, flow

SOURCE = Answer("Pod", WEB)


def test_the_published_log_gives_nine_connections(repository: Path) -> None:
    """As many as its own last line counts; the other 33 lines each have a reason."""
    text = (repository / "tests/fixtures/node-agent-sample.log").read_text()
    (node,), left_out = read_log(text)
    body = orjson.loads(b"".join(node.content()))
    assert len(body["connectionList"]) == 9
    assert body["nodeName"] == "gke-v2-onboarding-pool-1-6ed659e7-6zmq"
    assert Counter(line.reason for line in left_out) == {"source_not_a_pod": 27, "not_a_connection_line": 6}
    assert body["observation"]["attempts"] == 36
    assert body["observation"]["filtered"] == {"source_not_a_pod": 27}
    assert Counter(one["destination"]["kind"] for one in body["connectionList"]) == {"Service": 6, "Unknown": 3}


def test_a_file_without_such_lines_is_no_log() -> None:
    """A log is recognised by its content, not by its name."""
    assert not is_log(read_log("hello\n\ufffd\ufffd")[0])


@pytest.mark.parametrize("reason", sorted(WORDS))
def test_a_left_out_flow_written_as_a_line_reads_back_with_its_reason(reason: str) -> None:
    """Every reason has words of its own, so that a debug log can be replayed."""
    line = decision_line(Decision(flow(7, "10.96.0.10"), reason, SOURCE, Answer("External")))
    assert read_log(line)[1] == [SkippedLine(1, reason, line)]


@pytest.mark.parametrize(
    ("destination", "service", "pod"),
    [
        (Answer("Service", "svc-1"), "svc-1", None),
        (Answer("Pod", "pod-2"), None, "pod-2"),
        (Answer("Node", "node-1"), None, None),
        (Answer("External"), None, None),
    ],
)
@pytest.mark.parametrize("address", ["10.96.0.10", "fd00::2"])
def test_a_delivered_flow_written_as_a_line_reads_back_as_its_connection(
    address: str, destination: Answer, service: str | None, pod: str | None
) -> None:
    """The port is what follows the last colon, also of IPv6; a service or a pod survives the line."""
    line = decision_line(Decision(flow(7, address), None, SOURCE, destination))
    (node,), _left_out = read_log(line)
    (one,) = orjson.loads(b"".join(node.content()))["connectionList"]
    assert (one["destinationIP"], one["destinationPort"]) == (address, "8080")
    kubernetes = one["kubernetes"]
    assert kubernetes["sourcePod"]["uid"] == WEB
    assert (kubernetes["destinationService"] or {}).get("uid") == service
    assert (kubernetes["destinationPod"] or {}).get("uid") == pod


def test_a_written_line_is_the_published_one_to_the_byte(repository: Path) -> None:
    """The debug log keeps the published shape."""
    seen = flow(7, "10.24.11.58", source="10.16.3.18")
    source = Answer("Pod", "0d651d0c-c7e4-47bc-8933-9dd16b52ef35")
    target = Answer("Service", "db679cb5-a6f7-476a-b2b6-5cebcc5c382b")
    published = (repository / "tests/fixtures/node-agent-sample.log").read_text().splitlines()
    assert decision_line(Decision(seen, None, source, target)) in published
