"""What one pod may hold of a window's flows, and what becomes of the rest."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.capture.fair_share import fair_level, is_sum
from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.privileged.bpf_structs import ENDPOINTS, packed_address

UID = "2dc5e8c6-0b0f-4b0e-9d0a-1f1e2d3c4b5a"


def key(cgroup: int, number: int, address: str = "10.0.0.0", port: int = 8080) -> bytes:
    """The key of the flow to the address with that number behind `address`."""
    local, remote = packed_address("10.244.0.5"), bytearray(packed_address(address))
    remote[13:16] = number.to_bytes(3, "big")
    return ENDPOINTS.pack(cgroup, local, bytes(remote), port.to_bytes(2, "big"), 0, 0)


def connect(counts: Counts, cgroup: int, number: int, attempts: int = 1, **where: str | int) -> None:
    """Count attempts of which all were established."""
    counts.add_flow(key(cgroup, number, **where), attempts, 9, attempts, 0, 5, 5, 1, 0, 0)  # type: ignore[arg-type]


def exact_and_summed(counts: Counts, *cgroups: int) -> tuple[int, int]:
    """Flows that cgroups have, and attempts in their sums."""
    own = [(flow, sums) for flow, sums in counts.flows.items() if int.from_bytes(flow[:8], "little") in cgroups]
    return sum(not is_sum(flow) for flow, _ in own), sum(sums[0] for flow, sums in own if is_sum(flow))


@pytest.mark.parametrize(
    ("held", "room", "level"),
    [
        ({"a": 10, "b": 1000}, 100, 90),
        ({"a": 1000, "b": 1000}, 100, 50),
        ({"a": 10, "b": 20}, 100, 100),
        ({"a": 3, "b": 40, "c": 70}, 100, 57),
        ({}, 100, 100),
    ],
)
def test_level_leaves_whole_what_is_below_it(held: dict[int | str, int], room: int, level: int) -> None:
    """Each pod gets what it asks for or an equal part of what is left."""
    assert fair_level(held, room) == level


def test_pod_beyond_its_share_keeps_the_first_flows_and_the_sum_of_the_rest() -> None:
    """A share of 20 and 53 destinations: 20 flows, 33 attempts in sums by range of ports; a neighbour keeps its 19."""
    counts = Counts(most=1000, pod_share=20)
    for number in range(53):
        connect(counts, 7, number, port=(80, 8080, 50000)[number % 3])
        if number < 19:
            connect(counts, 8, number)
    assert exact_and_summed(counts, 7) == (20, 33)
    assert exact_and_summed(counts, 8) == (19, 0)
    assert {ENDPOINTS.unpack(flow)[3]: sums[0] for flow, sums in counts.flows.items() if is_sum(flow)} == {
        (0).to_bytes(2, "big"): 11,
        (1024).to_bytes(2, "big"): 11,
        (49152).to_bytes(2, "big"): 11,
    }


def test_flow_known_from_an_earlier_drain_stays_exact_beyond_the_share() -> None:
    """The share bounds flows, not attempts: a flow that has its place counts on."""
    counts = Counts(most=1000, pod_share=2)
    for _ in range(3):
        for number in range(4):
            connect(counts, 7, number, attempts=5)
    assert exact_and_summed(counts, 7) == (2, 30)
    assert sorted(sums[0] for sums in counts.flows.values()) == [15, 15, 30]


def test_pod_with_a_hundred_cgroups_has_the_share_of_one() -> None:
    """The share is of the pod that the names of its cgroups show, of each family a sum."""
    counts = Counts(most=1000, pod_share=50)
    counts.add_names((cgroup, (f"nested{cgroup}", f"pod{UID}")) for cgroup in range(100, 200))
    for cgroup in range(100, 200):
        for number in range(3):
            connect(counts, cgroup, number)
            connect(counts, cgroup, number, address="fd00::")
    assert exact_and_summed(counts, *range(100, 200)) == (50, 550)
    assert sum(map(is_sum, counts.flows)) == 2


def test_many_hostile_pods_leave_the_small_ones_whole() -> None:
    """40 pods of 100 flows in room for 1,000: those with 7 flows keep them, and all together stay within the room."""
    counts = Counts(most=1000, pod_share=100)
    for number in range(100):
        for cgroup in range(1, 41):
            connect(counts, cgroup, number)
        if number < 7:
            for cgroup in range(101, 106):
                connect(counts, cgroup, number)
    assert len(counts.flows) <= 1000
    assert [exact_and_summed(counts, cgroup) for cgroup in range(101, 106)] == [(7, 0)] * 5
    assert sum(sums[0] for sums in counts.flows.values()) == 40 * 100 + 5 * 7


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 60), st.integers(1, 9)), max_size=1500))
def test_whatever_is_counted_the_room_holds_and_no_attempt_is_lost(made: list[tuple[int, int, int]]) -> None:
    """Any order of any cgroups: at most the room, and the sums of all attempts and established are exact."""
    counts = Counts(most=256, pod_share=64)
    for cgroup, number, attempts in made:
        connect(counts, cgroup, number, attempts)
    assert len(counts.flows) <= 256
    totals = Counter[str]()
    for sums in counts.flows.values():
        totals.update(attempts=sums[0], established=sums[1])
    assert totals.total() == 2 * sum(attempts for _, _, attempts in made)
    assert totals["attempts"] == totals["established"]
