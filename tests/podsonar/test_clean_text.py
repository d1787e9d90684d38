"""What a string may hold: the same rule for a text and for the JSON that carries it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsonar.clean_text import clean_json, clean_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("core \x00 dumped", "core \ufffd dumped"),
        ("\x00\x00", "\ufffd\ufffd"),
        ("half \ud800 of a pair", "half \ufffd of a pair"),
        ("\\u0000 spelled out", "\\u0000 spelled out"),
        ("line\nend \x01 \U0001f600 \uffff", "line\nend \x01 \U0001f600 \uffff"),
        ("", ""),
    ],
)
def test_text_loses_what_no_string_may_hold_and_nothing_else(text: str, expected: str) -> None:
    """NUL and halves of surrogate pairs become U+FFFD; every other character stays."""
    assert clean_text(text) == expected


JSON = st.recursive(
    st.text(st.sampled_from('\x00\\u0"/a\U0001f600'), max_size=12) | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("\x00\\u0", max_size=4), inner, max_size=4),
    max_leaves=12,
)


def cleaned(value: Any) -> Any:
    """The value with each of its strings cleaned."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    return {clean_text(key): cleaned(held) for key, held in value.items()} if isinstance(value, dict) else value


def nuls(value: Any) -> int:
    """How many NULs there are in a value's strings, keys included."""
    if isinstance(value, str):
        return value.count("\x00")
    if isinstance(value, dict):
        return sum(nuls(key) + nuls(held) for key, held in value.items())
    return sum(map(nuls, value)) if isinstance(value, list) else 0


@given(JSON)
def test_json_is_cleaned_as_its_strings_are_one_by_one(value: Any) -> None:
    """Whatever stands before the escape (backslashes, quotes), the JSON means the cleaned value; NULs are counted."""
    raw, count = clean_json(orjson.dumps(value))
    assert orjson.loads(raw) == cleaned(value)
    assert count == nuls(value)


def test_json_without_nul_is_the_same_object() -> None:
    """Nothing is copied where there is nothing to clean."""
    raw = orjson.dumps({"a": ["\\u0001", "plain"]})
    assert clean_json(raw)[0] is raw
