"""The parts by which a rule is passed over are in whatever the rule matches."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.inventory.redacted_text import SHAPE_RULES


@pytest.mark.parametrize(("pattern", "parts"), [rule[1:] for rule in SHAPE_RULES])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(data=st.data())
def test_whatever_a_shape_rule_matches_holds_one_of_its_parts(
    pattern: re.Pattern[bytes], parts: tuple[bytes, ...], data: st.DataObject
) -> None:
    """A rule is not tried where none of its parts is: no match may be without one."""
    found = data.draw(st.from_regex(pattern, fullmatch=True))
    assert any(part in found for part in parts)
