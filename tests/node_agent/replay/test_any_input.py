"""Whatever `podsonar replay` is given, it writes a body or one sentence, in bounded memory."""

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.attribution.log_envelopes import unwrap
from node_agent.capture.files import capture_file
from node_agent.replay import MOST_BYTES
from podsonar.errors import InputError
from podsonar.json_gzip import deflated, inflate_within
from tests.node_agent.replay.replayed import BODY, KUBECTL, LINE, run
from tests.node_agent.stages import capture, flow

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def spoiled(value: Any, chance: random.Random, odd: object) -> Any:
    """The value with one member, somewhere, of another type."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        return {**value, name: spoiled(value[name], chance, odd)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        return [*value[:place], spoiled(value[place], chance, odd), *value[place + 1 :]]
    return odd


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@QUICK
@given(st.randoms(use_true_random=False), JSON, st.sampled_from([BODY, KUBECTL]))
def test_any_inventory_is_answers_or_one_sentence(
    tmp_path: Path, taken: Path, chance: random.Random, odd: object, whole: dict[str, Any]
) -> None:
    """One member of any type in any place: no traceback."""
    (tmp_path / "inventory").write_text(json.dumps(spoiled(whole, chance, odd)))
    result = run(taken, "--inventory", tmp_path / "inventory")
    assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.randoms(use_true_random=False), JSON)
def test_any_capture_header_is_a_body_or_one_sentence(tmp_path: Path, chance: random.Random, odd: object) -> None:
    """One member of any type in any place of the header: no traceback."""
    content = inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES)
    line, _, records = content.partition(b"\n")
    changed = json.dumps(spoiled(orjson.loads(line), chance, odd), separators=(",", ":")).encode()
    (tmp_path / "a.capture").write_bytes(deflated([changed + b"\n", records]))
    result = run(tmp_path / "a.capture")
    assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.binary(max_size=300), st.integers(0, 2000), st.integers(0, 255))
def test_any_bytes_are_a_body_or_one_sentence(tmp_path: Path, tail: bytes, place: int, byte: int) -> None:
    """Random bytes behind a log, and one byte changed in inflated captures: no traceback."""
    (tmp_path / "a").write_bytes(LINE.encode() + b"\n" + tail)
    content = bytearray(inflate_within(capture_file.encode(capture([flow(7, "10.96.0.10", 23)])), MOST_BYTES))
    content[place % len(content)] = byte
    (tmp_path / "b").write_bytes(deflated([bytes(content)]))
    for name in ("a", "b"):
        result = run(tmp_path / name)
        assert result.exception is None or isinstance(result.exception, InputError)


@QUICK
@given(st.text(max_size=200))
def test_any_line_is_unwrapped_to_a_text(written: str) -> None:
    """No envelope raises, and what is in no envelope stays."""
    assert isinstance(unwrap(written).text, str)
    assert unwrap(f"plain {written.replace('|', '')}").text.startswith("plain")


HEADER = b'{"format":"podsonar-capture","cgroups":['


def bombs() -> dict[str, bytes]:
    """Small files that would take much memory."""
    body = capture_file.encode(capture([flow(7, "10.96.0.10", 23)] * 230_000))
    return {
        "zeros": deflated(b"\0" * (1 << 20) for _ in range(3000)),
        "lines": deflated(b"\n" * (1 << 20) for _ in range(31)),
        "log": deflated([f"{LINE}\n".encode() * 200_000]),
        "members": gzip.compress(b"") * 400_000,
        "capture": body,
        "header": deflated([HEADER, b"[1,[]]," * 1_190_000, b"[1,[]]]}\n"]),
        "longer header": deflated([HEADER, b"[1,[]]," * 3_000_000, b"[1,[]]]}\n"]),
    }


@pytest.mark.long
@pytest.mark.parametrize("name", ["zeros", "lines", "log", "members", "capture", "header", "longer header"])
def test_memory_of_replay_is_bounded(tmp_path: Path, repository: Path, name: str) -> None:
    """3 MB of gzip of any kind: at most 256 MiB of a process of its own."""
    (tmp_path / "input").write_bytes(bombs()[name])
    program = "from cli.main import main; main()"
    words = [sys.executable, "-c", program, "replay", str(tmp_path / "input"), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], cwd=repository, capture_output=True, text=True, check=True
    )
    code, peak_kib = map(int, done.stdout.split()[-2:])
    assert code in (0, 2)
    assert peak_kib <= 256 << 10


# Runs a command and prints its exit code and its peak memory in KiB: of that command alone.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
