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


POD = {"uid": "uid-1", "kind": "Pod", "namespace": "shop", "name": "web-1"}
SUM = {"pod": POD, "end": "source", "ports": "1024-49151", "attempts": 97, "established": 3, "failed": 94}


def test_sums_of_scanning_pods_stay() -> None:
    """Pod, end, ports and counts arrive as they were sent."""
    sums = [SUM, {"pod": POD, "end": "destination", "ports": "0-1023", "accepted": 41}]
    assert clean_observation({"scan": sums}) == ({"scan": sums}, 0)


@pytest.mark.parametrize(
    "odd",
    [
        {**SUM, "end": "middle"},
        {**SUM, "ports": "all of them"},
        {**SUM, "attempts": -1},
        {**SUM, "pod": {"uid": 7}},
        {"end": "source"},
        None,
        [],
        "scan",
    ],
)
def test_sum_of_another_shape_is_left_out_alone(odd: object) -> None:
    """One that readers could not read is not stored, the others are."""
    assert clean_observation({"scan": [odd, SUM]})[0] == {"scan": [SUM]}


@pytest.mark.parametrize("scan", [None, {}, "x", 7, [], [7]])
def test_scan_that_lists_no_sum_is_left_out(scan: object) -> None:
    """Readers find a list of sums, or no member."""
    assert clean_observation({"scan": scan}) == ({}, 1)


def test_no_more_sums_are_stored_than_an_agent_lists() -> None:
    """64 of a thousand."""
    assert len(clean_observation({"scan": [SUM] * 1000})[0]["scan"]) == 64


def test_left_out_sources_stay_and_odd_ones_are_left_out() -> None:
    """Address, reason, age and count arrive; an element of another shape is left out alone."""
    source = {"address": "10.1.1.20", "reason": "identity_conflict", "established": 7, "openedBefore": False}
    odd = [{**source, "address": ""}, {**source, "established": -1}, {"address": "10.1.1.20"}, 7]
    assert clean_observation({"leftOutSources": [*odd, source]})[0] == {"leftOutSources": [source]}
