"""Captures in a replay: a header or a record that does not fit is one sentence."""

import json
from pathlib import Path

import orjson
import pytest

from node_agent.capture.files import capture_file
from node_agent.replay import MOST_BYTES
from podsonar.errors import InputError
from podsonar.json_gzip import deflated, inflate_within
from tests.node_agent.replay.replayed import run
from tests.node_agent.stages import capture, flow


def header_changed(**changes: object) -> bytes:
    """A capture whose header has other members."""
    content = inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES)
    line, _, records = content.partition(b"\n")
    return deflated([json.dumps({**orjson.loads(line), **changes}, separators=(",", ":")).encode() + b"\n", records])


@pytest.mark.parametrize(
    "changes",
    [
        {"acceptedLost": 7},
        {"acceptedLost": {"a": "7"}},
        {"lost": {"a": -1}},
        {"lost": {"a": 10**30}},
        {"cgroups": [[7, None]]},
        {"cgroups": [[7, [None]]]},
        {"cgroups": [["7", ["a"]]]},
        {"cgroups": 7},
        {"window": {"startNs": -1, "endNs": 2}},
        {"window": {"startNs": 3, "endNs": 2}},
        {"window": {"startNs": 0, "endNs": 10**40}},
        {"observed": {"startNs": 9, "endNs": 2}},
        {"nodeName": None},
        {"nodeName": "x" * 5000},
        {"version": 4},
        {"volumes": 1},
        {"volumes": -1},
        {"volumeBy": 7},
        {"volumeLost": {"open_unread": -1}},
        {"flows": 10**30},
        {"flows": -1},
        {"flows": 2},
        {"pods": [7]},
        {"missedRuns": "many"},
        {"openedLeftOut": []},
        {"gap": 5},
    ],
)
def test_capture_whose_header_does_not_fit_is_one_sentence(tmp_path: Path, changes: dict[str, object]) -> None:
    """Wrong inner types, negative windows, huge counts and times: no traceback, and nothing is delivered."""
    (tmp_path / "a.capture").write_bytes(header_changed(**changes))
    result = run(tmp_path / "a.capture")
    assert isinstance(result.exception, InputError)
    assert "expected" in str(result.exception)


@pytest.mark.parametrize(("offset", "value"), [(52, 1 << 63), (60, (1 << 64) - 1), (84, 1 << 63), (44, 5)])
def test_record_with_a_count_or_pod_that_cannot_be_is_one_sentence(tmp_path: Path, offset: int, value: int) -> None:
    """64 bits of a count, a time, or a pod beyond those of the header."""
    content = bytearray(inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES))
    start = content.index(b"\n") + 1
    size = 4 if offset == 44 else 8
    content[start + offset : start + offset + size] = value.to_bytes(size, "little")
    (tmp_path / "a.capture").write_bytes(deflated([bytes(content)]))
    assert isinstance(run(tmp_path / "a.capture").exception, InputError)
