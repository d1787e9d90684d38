"""The counts of an observation arrive at every depth that agents send, and nothing deeper does."""

from typing import Any

import pytest

from manager.schema.observation import clean_observation


@pytest.mark.parametrize(
    "observation",
    [
        {"lost": {"flows_full": 3}},
        {"openedBefore": {"delivered": 3, "leftOut": {"source_pod_unknown": 2}, "by": "iterator"}},
        {"accepted": {"seen": 9, "openedBefore": {"delivered": 1, "leftOut": {"shared_socket": 5}}}},
        {"accepted": {"openedBefore": {"delivered": 0, "leftOut": {}}}},
        {"observed": None, "gap": None},
    ],
)
def test_counts_of_every_depth_stay(observation: dict[str, Any]) -> None:
    """Reasons below `accepted.openedBefore` are as much a part of the counts as those below `lost`."""
    assert clean_observation(observation) == (observation, 0)


def test_deeper_groups_and_odd_counts_are_left_out() -> None:
    """A bound on the depth keeps readers simple; a count that is none never stands for one."""
    deep = {"a": {"b": {"c": {"d": {"e": 1}, "n": 2}, "negative": -1}}}
    assert clean_observation(deep) == ({"a": {"b": {"c": {"n": 2}}}}, 0)
