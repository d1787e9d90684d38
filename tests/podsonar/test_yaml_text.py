"""podsonar/yaml_text.py: YAML that stands for JSON, and one reason for all other."""

import time
from typing import Any

import orjson
import pytest

from podsonar.yaml_text import NotYamlError, load_documents, load_yaml


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("a: [1, 0x10, 1.5, true, ~, text]", {"a": [1, 16, 1.5, True, None, "text"]}),
        ("a: 2026-11-30", {"a": "2026-11-30"}),
        ("a: 2026-11-30T10:00:00Z", {"a": "2026-11-30T10:00:00Z"}),
        (
            "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x",
            {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 1, "c": 2}},
        ),
        ("x: &x {b: 1}\ny: &y {<<: *x, b: 2}\nz: {<<: *y, b: 3}", {"x": {"b": 1}, "y": {"b": 2}, "z": {"b": 3}}),
        ('"1": 2', {"1": 2}),
        ('{"a": {"b": [1]}}', {"a": {"b": [1]}}),
    ],
)
def test_yaml_is_what_its_json_would_be(text: str, expected: Any) -> None:
    """Dates are texts, as they are in JSON; merged keys may be replaced."""
    assert load_yaml(text) == load_yaml(text.encode()) == expected
    assert orjson.loads(orjson.dumps(load_yaml(text))) == expected


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "line 1, column 5"),
        ("a: b: c", "line 1, column 5"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1: a key that its mapping has already, or that is no text"),
        ("a: {b: 1, 'b': 2}", "line 1, column 11: a key that its mapping has already, or that is no text"),
        ("[1]: 2", "line 1, column 1: a key that its mapping has already, or that is no text"),
        ("1: 2", "line 1, column 1: a key that is no text"),
        ("null: 2", "line 1, column 1: a key that is no text"),
        ("on: 2", "line 1, column 1: a key that is no text"),
        ("a: !!bool x", "line 1, column 4: a value that its type has not"),
        ("a: !!int ''", "line 1, column 4: a value that its type has not"),
        ("a: !!float x", "line 1, column 4: a value that its type has not"),
        ("a: " + "9" * 5000, "line 1, column 4: a value that its type has not"),
        ("a: .nan", "line 1, column 4: a number that is none"),
        ("a: -.inf", "line 1, column 4: a number that is none"),
        ("a: 1.0e+999", "line 1, column 4: a number that is none"),
        ('a: "\\ud800"', "line 1, column 4: a character that no text may hold"),
        ('"a\\0": 1', "line 1, column 1: a character that no text may hold"),
        ("a: !!timestamp 2026-13-45", "line 1, column 4"),
        ("a: !!set {b, c}", "line 1, column 4"),
        ("a: !!binary aGFsbG8=", "line 1, column 4"),
        ("a: !!python/object/apply:os.system [x]", "line 1, column 4"),
        ("&a [*a]", "aliases that make more than 100000 values of it"),
        (LAUGHS, "aliases that make more than 100000 values of it"),
        ("[" * 100_000, "nests too deep"),
        ("{a: " * 101, "nests too deep"),
        ("- " * 100_000, "nests too deep"),
        ("a: 1\n---\nb: 2", "several documents, expected one"),
        ("\x00", "bytes that are no text"),
    ],
)
def test_other_yaml_has_one_reason(text: str, expected: str) -> None:
    """With its place, and within a second; nothing of the text is repeated."""
    began = time.thread_time()
    with pytest.raises(NotYamlError) as raised:
        load_yaml(text)
    assert str(raised.value) == expected
    assert time.thread_time() - began < 1.0


def test_bytes_that_are_no_utf8_are_refused() -> None:
    """As every other mistake."""
    with pytest.raises(NotYamlError, match="bytes that are no text"):
        load_yaml(b"a: \xff")


def test_documents_of_a_text_are_a_list() -> None:
    """An empty one is null."""
    assert load_documents("a: 1\n---\n---\n[2]") == [{"a": 1}, None, [2]]


def test_hundred_brackets_may_be_open() -> None:
    """As often as one likes."""
    deepest = load_yaml(f"[{('[' * 99 + ']' * 99 + ', ') * 3}]")
    assert len(deepest) == 3
    for _level in range(98):
        (deepest,) = deepest[-1:] if len(deepest) == 3 else deepest
    assert deepest == [[]]
