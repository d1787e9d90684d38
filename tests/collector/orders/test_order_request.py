"""The body of an order: each wrong part is named by its place, its value, and what was expected."""

from typing import Any

import orjson
import pytest

from collector.orders.order_request import parse_order
from podsonar.errors import InputError
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

GOOD = {"start": "2026-11-24T10:00:00Z", "seconds": 10, "kind": "baseline"}


def parsed(*windows: Any, **more: Any) -> Any:
    """The order in a body."""
    return parse_order(orjson.dumps({"run": "run-1", "windows": list(windows), **more}))


def test_order_is_windows_of_a_run() -> None:
    """Start, length and kind of each make a window with its purpose."""
    start_ns = parse_rfc3339("2026-11-24T10:00:00Z")
    assert parsed(GOOD).windows == (Window(start_ns, start_ns + 10 * NS_PER_SECOND, Purpose("run-1", "baseline")),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": 4}, "body: Expected `int` >= 5 - at `$.windows[0].seconds`"),
        ({"seconds": 61}, "body: Expected `int` <= 60 - at `$.windows[0].seconds`"),
        ({"seconds": 5.5}, "body: Expected `int`, got `float` - at `$.windows[0].seconds`"),
        ({"kind": "chaos"}, "windows[0]: kind is 'chaos', expected one of baseline, fault, recovery"),
        ({"start": "soon"}, "windows[0]: start: time 'soon' is not RFC 3339"),
        ({"start": "2026-11-24T10:00:00.5Z"}, "windows[0]: start is 2026-11-24T10:00:00.5Z, expected a whole second"),
        ({"more": 1}, "body: Object contains unknown field `more` - at `$.windows[0]`"),
    ],
)
def test_window_that_cannot_be_ordered_is_named_with_what_was_expected(change: dict[str, Any], said: str) -> None:
    """One sentence: which, its value, and what is allowed."""
    with pytest.raises(InputError) as refused:
        parsed({**GOOD, **change})
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "body: "),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"\xff", "body: "),
        (orjson.dumps({"run": "", "windows": [GOOD]}), "body: Expected `str` of length >= 1 - at `$.run`"),
        (orjson.dumps({"run": "a b", "windows": [GOOD]}), "body: Expected `str` matching regex"),
        (orjson.dumps({"run": "a", "windows": []}), "body: Expected `array` of length >= 1 - at `$.windows`"),
        (orjson.dumps({"run": "a", "windows": [GOOD] * 65}), "body: Expected `array` of length <= 64 - at `$.windows`"),
    ],
)
def test_body_that_is_no_order_is_named(content: bytes, said: str) -> None:
    """Never a traceback."""
    with pytest.raises(InputError) as refused:
        parse_order(content)
    assert str(refused.value).startswith(said)


def test_windows_that_overlap_within_the_order_are_named_by_place() -> None:
    """The order itself has a mistake: nobody else's window is in its way."""
    with pytest.raises(InputError, match=r"windows\[1\]: start is 2026-11-24T10:00:09Z, expected none before the end"):
        parsed(GOOD, {**GOOD, "start": "2026-11-24T10:00:09Z"})
