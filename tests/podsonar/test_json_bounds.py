"""podsonar/json_bounds.py: what of a JSON value nobody could store or write again."""

import time
from typing import Any

import msgspec
import orjson
import pytest

from podsonar.json_bounds import MOST_LEVELS, MOST_WHOLE, find_beyond, is_shallow


def nested(levels: int, inner: Any = 1) -> Any:
    """Lists and objects in turn, so many levels of them."""
    for level in range(levels):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(nested(MOST_LEVELS), "", id="deepest"),
        pytest.param(nested(MOST_LEVELS + 1), "nests too deep, expected at most 64 levels", id="too deep"),
        pytest.param(nested(100_000), "nests too deep, expected at most 64 levels", id="deeper than Python calls"),
        pytest.param([MOST_WHOLE, -(1 << 63), 1e308, True, None], "", id="largest"),
        pytest.param({"a": [1 << 64]}, "number 18446744073709551616, expected a whole number of 64 bits", id="large"),
        pytest.param(-(1 << 63) - 1, "number -9223372036854775809, expected a whole number of 64 bits", id="small"),
        pytest.param(["a\0"], "NUL character, expected text without it", id="text"),
        pytest.param([{"a\0": 1}], "NUL character, expected text without it", id="name"),
        pytest.param("\ud7ff\ue000\U0010ffff", "", id="odd text"),
    ],
)
def test_value_beyond_the_bounds_is_named(value: Any, expected: str) -> None:
    """What it is, and what was expected."""
    assert find_beyond(value) == expected


def test_text_with_nul_may_be_kept_as_bytes() -> None:
    """A program's output holds anything."""
    assert find_beyond({"out": "a\0"}, allows_nul=True) == ""
    assert find_beyond(nested(65, "\0"), allows_nul=True).startswith("nests too deep")


def test_value_within_the_bounds_can_be_written_inside_another() -> None:
    """By both of our parsers, and read again by both."""
    inside = {"data": {"experimentYaml": nested(MOST_LEVELS, [MOST_WHOLE, -(1 << 63), "\x7f"])}}
    assert msgspec.json.decode(orjson.dumps(inside)) == orjson.loads(msgspec.json.encode(inside)) == inside


def test_brackets_say_what_may_nest_too_deep() -> None:
    """Brackets in texts count, too: such a value is then looked at."""
    assert is_shallow(orjson.dumps(nested(MOST_LEVELS)))
    assert not is_shallow(orjson.dumps(nested(MOST_LEVELS + 1)))
    assert not is_shallow(orjson.dumps("[" * (MOST_LEVELS + 1)))


def test_large_value_is_looked_at_in_linear_time() -> None:
    """Two mebibytes of the smallest values, or of one text."""
    for value in ([1] * (1 << 20), ["[" * (2 << 20)], {str(number): 1 for number in range(200_000)}):
        began = time.thread_time()
        assert find_beyond(value) == ""
        assert time.thread_time() - began < 1.0
