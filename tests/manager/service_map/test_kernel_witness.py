"""Nothing was missed only where both ends and the kernel's own counters agree; and what edges carried."""

from typing import Any

import pytest

from manager.schema.records import RoundTrips, VolumeRecord
from manager.service_map.edge_volume import EdgeVolume
from manager.service_map.join_state import Recall
from manager.service_map.kernel_witness import add_agreement

NONE = {"opens": 0, "accepted": 0, "failures": 0}


def counts(**changes: Any) -> dict[str, Any]:
    """An observation in which all agree, with changes."""
    witness = {"namespaces": 3, "notComparable": {}, "unseen": NONE}
    return {"lost": {}, "accepted": {"lost": {}}, "witness": witness, **changes}


@pytest.mark.parametrize(
    ("observation", "recall", "state", "nothing_missed"),
    [
        (counts(), None, "agrees", True),
        (counts(), Recall(7, 7), "agrees", True),
        (counts(), Recall(7, 6), "agrees", False),
        (counts(lost={"flows_full": 1}), None, "agrees", False),
        (counts(accepted={"lost": {"accepted_full": 1}}), None, "agrees", False),
        (counts(witness={"notComparable": {"appeared": 2}, "unseen": NONE}), None, "part", False),
        (counts(witness={"notComparable": {"ended": 1}, "unseen": NONE | {"opens": 3}}), None, "differs", False),
        (counts(witness=None), None, "none", False),
        ({}, None, "none", False),
    ],
)
def test_nothing_was_missed_only_where_all_three_agree(
    observation: dict[str, Any], recall: Recall | None, state: str, nothing_missed: bool
) -> None:
    """One end, one loss, one namespace that cannot be compared: nothing is claimed."""
    nodes: dict[str, dict[str, Any]] = {"node-a": {"observed": "whole"}, "node-b": {"observed": "part"}}
    add_agreement(nodes, {"node-a": observation, "node-b": counts()}, {"node-a": recall} if recall else {})
    assert (nodes["node-a"]["kernel"]["state"], nodes["node-a"]["nothingMissed"]) == (state, nothing_missed)
    assert not nodes["node-b"]["nothingMissed"]


def test_volume_of_an_edge_is_the_sum_of_its_records() -> None:
    """Counts add up, the longest round trip stays, histograms of different lengths add up bucket by bucket."""
    volume = EdgeVolume()
    volume.add(VolumeRecord(7, 11, 1, 0, 2.5, RoundTrips(2, 0.5, 0.3, (1, 1))))
    volume.add(VolumeRecord(13, 17, 0, 1, 0.5, RoundTrips(1, 0.4, 0.4, (0, 0, 1))))
    assert volume.wire() == {
        "sentBytes": 20,
        "receivedBytes": 28,
        "retransmittedSegments": 1,
        "resets": 1,
        "openSeconds": 3.0,
        "rttSeconds": {"count": 3, "sum": 0.9, "max": 0.4, "histogram": [1, 1, 1]},
    }
