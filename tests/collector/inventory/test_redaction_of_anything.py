"""Redaction of any object: valid JSON that is not changed again, and what a walk over every string comes to."""

from collections import Counter
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.inventory.redacted_fields import Mode
from collector.inventory.redacted_text import HINTS, redacted_text
from collector.inventory.redaction import Redaction
from collector.k8s.kinds import KINDS
from tests.collector.inventory.secret_objects import CANARY, redacted


def test_nul_in_any_string_is_replaced_and_counted() -> None:
    """A NUL that a program printed voids nothing: it becomes U+FFFD in keys and values alike."""
    pod = {"metadata": {"name": "a\0b", "labels": {"x\0": "y"}}, "status": {"reason": "\0\\u0000"}}
    content, counts = redacted(pod)
    assert b"\\u0000" not in content.replace(b"\\\\u0000", b"")
    assert orjson.loads(content)["status"]["reason"] == "\ufffd\\u0000"
    assert counts == {"nul": 3}


TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["--token", "token", 'a"b', "\\", '\\"', "--password=x y", "é", "\u2028", "x@y", "\x01", "[", ","]),
    st.sampled_from([hint.upper() for hint in HINTS]).map(lambda hint: f"{hint} {CANARY}"),
)

JSON = st.recursive(
    st.one_of(TEXT, st.integers(-5, 5), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def slowly(node: Any, counts: Any) -> Any:
    """The rules of strings applied by walking the object: what the scan of bytes must come to."""
    if isinstance(node, str):
        return redacted_text(node, counts, structural=True)
    if isinstance(node, dict):
        return {redacted_text(key, counts, structural=True): slowly(held, counts) for key, held in node.items()}
    return [slowly(item, counts) for item in node] if isinstance(node, list) else node


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=4), max_size=5))
def test_scan_of_bytes_comes_to_what_a_walk_over_every_string_comes_to(node: dict[str, Any]) -> None:
    """Whatever stands in a string (quotes, backslashes, control characters), each is judged alone and whole."""
    redaction, counts = Redaction(), Counter[str]()
    text = orjson.dumps([node])
    found = redaction.strings(text)
    assert found == orjson.dumps([slowly(node, counts)])
    assert redaction.counts == counts


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(JSON, st.sampled_from(["structure", "patterns"]), st.sampled_from([kind.name for kind in KINDS]))
def test_any_object_becomes_json_that_is_not_changed_again(node: Any, mode: Mode, kind: str) -> None:
    """Whatever stands where, what comes out parses, and redacted again it gives itself."""
    for obj in ({"spec": node}, {"metadata": node, "status": node}, {"spec": {"containers": [node], "template": node}}):
        once = Redaction(mode).json(kind, [orjson.loads(orjson.dumps(obj))])
        parsed = orjson.loads(b"[" + once + b"]")
        assert Redaction(mode).json(kind, parsed) == once


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(JSON)
def test_no_string_of_an_unknown_field_leaves(node: Any) -> None:
    """Of a field that no table has, no text leaves, however deep it stands."""
    content, _ = redacted({"spec": {"fieldOfTomorrow": [node, CANARY, {"x": {CANARY: [CANARY]}}]}})
    assert content == b'{"spec":{"fieldOfTomorrow":"[redacted:unknown_field]"}}'


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(st.text(max_size=200), st.sampled_from([hint.upper() for hint in HINTS]))
def test_string_that_a_rule_changes_holds_a_hint(text: str, hint: str) -> None:
    """No rule matches a string that the scan would pass over."""
    for candidate in (text, text + hint + text):
        for structural in (False, True):
            if redacted_text(candidate, Counter(), structural=structural) != candidate:
                assert any(word.encode() in candidate.encode().lower() for word in HINTS)
