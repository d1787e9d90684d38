"""chaos/control/logs/parse.py: the check of all lines at once agrees with the one that names a line's mistake."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.control.logs.parse import MAX_POS, are_lines, find_mistake

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 1.0, 1.5, MAX_POS - 1, MAX_POS, 2**64, "", "x", "1", [], {}, {"a": "b"}, {"a": 1}),
    *("2025-05-01T17:27:56Z", "2025-05-01 17:27:56.123456789+02:00", "2025-05-01T17:27:56", "2025-05-01T17:27:56Z\n"),
)
NAMES = ("level", "pos", "out", "time", "args", "other")
LINES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_every_odd_member_is_judged_alike(name: str, odd: Any) -> None:
    """Alone, and beside lines that are good; a line with another member is looked at by itself, and good."""
    line = {name: odd}
    good = find_mistake(line) == ""
    assert are_lines([line]) is (good and name != "other")
    assert are_lines([{"pos": 1}, line, {"out": "x"}]) is (good and name != "other")
    assert good or name != "other" or odd == 2**64


@given(st.lists(st.one_of(LINES, st.sampled_from(ODD)), max_size=4))
def test_lines_of_any_members_are_judged_alike(lines: list[Any]) -> None:
    """As usual are those of which each is good, and has the usual members."""
    assert are_lines(lines) is all(find_mistake(line) == "" and set(line) <= set(NAMES) - {"other"} for line in lines)
