"""directory_answers.py: a response is values, counted rejects, or "ask again later"; always bounded in memory."""

import gzip
import subprocess
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.attribution.directory_answers import MALFORMED, parse_answers
from podsonar.directory_answer import Answer
from podsonar.errors import DirectoryUnavailableError
from tests.answering_server import GivenAnswer, answering

GOOD = {"kind": "External"}


@pytest.mark.parametrize(
    "element",
    [
        None,
        "x",
        7,
        [],
        {},
        {"kind": 5},
        {"kind": "Ghost", "uid": "x"},
        {"kind": "Pod", "uid": 5},
        {"kind": "Pod", "uid": ["x"]},
        {"kind": "Pod"},
        {"kind": "Service", "uid": ""},
        {"kind": "Pod", "uid": "x", "workload": "y"},
        {"kind": "Pod", "uid": "x", "workload": {"kind": "Deployment", "name": 7}},
        {"kind": "Service", "uid": "x", "name": {"a": 1}},
        {"kind": "Pod", "uid": "x", "nodeName": 7},
        {"kind": "Pod", "uid": "x", "hostNetwork": "no"},
        {"kind": "Pod", "uid": "x", "excluded": ["a"]},
        {"kind": "Pod", "uid": "x", "excluded": "of_the_future"},
        {"kind": "Service", "uid": "x" * 513},
    ],
)
def test_malformed_answer_is_unknown_alone(element: object) -> None:
    """The answers beside it stand; one of another type, length or kind names nobody, and is counted."""
    answers, malformed = parse_answers(orjson.dumps({"answers": [GOOD, element, GOOD]}), 3)
    assert (answers, malformed) == ([Answer("External"), MALFORMED, Answer("External")], 1)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>login</html>",
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"answers":null}',
        b'{"answers":5}',
        b'{"answers":[]}',
        b'{"answers":[null]}',
        b'{"answers":[{"kind":"External"},{"kind":"External"}]}',
        b'{"answers":[{"kind":"Pod","uid":"\xff"}]}',
        b'{"answers":[' + b"0," * 100_000 + b"0]}",
        b"[" * 100_000,
        b'{"answers":[' + b"[" * 100_000,
    ],
)
def test_content_that_is_no_list_of_answers_means_ask_again_later(content: bytes) -> None:
    """Another document, another count, no valid answer at all, too many values or too deep ones."""
    with pytest.raises(DirectoryUnavailableError):
        parse_answers(content, 1)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
FIELDS = st.sampled_from(
    ["kind", "uid", "namespace", "name", "reason", "nodeName", "hostNetwork", "workload", "excluded"]
)
LIKE_AN_ANSWER = st.dictionaries(FIELDS, ANY_JSON | st.sampled_from(["Pod", "Service", "External"]), max_size=9)


@given(st.lists(ANY_JSON | LIKE_AN_ANSWER, max_size=6))
def test_any_json_is_values_or_ask_again(elements: list[object]) -> None:
    """No other error leaves, and no value but text stands in an answer."""
    try:
        content = orjson.dumps({"answers": elements})
    except orjson.JSONEncodeError:
        return
    try:
        answers, _malformed = parse_answers(content, len(elements))
    except DirectoryUnavailableError:
        return
    assert len(answers) == len(elements)
    for answer in answers:
        for value in (answer.uid, answer.namespace, answer.name, answer.reason, answer.node_name):
            assert value is None or isinstance(value, str)


def test_compressed_or_endless_response_is_refused_within_its_bound() -> None:
    """300 KiB of gzip would be 300 MiB, and 64 MiB of blanks is no list: neither raises memory by 32 MiB."""
    bodies = {"gzip": gzip.compress(b" " * (300 << 20), 1), "identity": b" " * (64 << 20)}
    for encoding, body in bodies.items():
        with answering(lambda _posted, b=body, e=encoding: GivenAnswer(200, b, {"Content-Encoding": e})) as url:
            program = (
                "from pathlib import Path\n"
                "from node_agent.attribution.directory_client import DirectoryClient\n"
                "from podsonar.errors import DirectoryUnavailableError\n"
                "from podsonar.directory_answer import Query\n"
                f"client = DirectoryClient({url!r}, lambda: 't' * 20, None)\n"
                "def peak():\n"  # of this program: what getrusage knows begins with the size of whoever forked it
                "    return int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
                "before = peak()\n"
                "try: client.ask([Query('10.0.0.1', 80)])\n"
                "except DirectoryUnavailableError: print(peak() - before)\n"
            )
            grown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
            assert 0 < int(grown) < 32 << 10, encoding
