"""What is missing of a sender's batches, window by window, in whatever order they come."""

import os
import random
from dataclasses import replace
from typing import NamedTuple

import pytest

from manager.store.batches.sequences import count_missing, covers, missing_by_node, record_sequence
from manager.store.database import Store
from podsonar.batch_sequence import BatchSequence, parse_sequence
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.fresh_database import agent_of

SENDER = "5f0c41d29b3e8a76"
HOUR_NS = 3600 * NS_PER_SECOND
ROUNDS = int(os.environ.get("PODSONAR_TEST_ORDERS", "30"))


class Numbered(NamedTuple):
    """A sent batch and the start of its window."""

    place: BatchSequence
    start_ns: int


def numbered(windows: list[int]) -> list[Numbered]:
    """Batches as a spool numbers them, of windows by their hour."""
    sent: list[Numbered] = []
    for number, hour in enumerate(windows, 1):
        before = sent[-1] if sent else None
        same = before is not None and before.start_ns == hour * HOUR_NS
        first = before.place.first if same and before else number
        previous = (before.place.previous if same else wire(before.start_ns)) if before else ""
        sent.append(Numbered(BatchSequence(SENDER, number, first, previous), hour * HOUR_NS))
    return sent


def wire(start_ns: int) -> str:
    """A window's id."""
    return Window(start_ns, start_ns + NS_PER_SECOND).id


def take(store: Store, one: Numbered) -> str:
    """The manager's note of a batch."""
    with store.writing() as connection:
        return record_sequence(connection, agent_of(store), one.place, one.start_ns, "node-a", 1)


def missing(store: Store, hours: int) -> dict[int, int]:
    """How many batches of each window are missing."""
    found = {hour: missing_by_node(store, agent_of(store), hour * HOUR_NS).get("node-a", 0) for hour in range(hours)}
    return {hour: number for hour, number in found.items() if number}


def test_header_is_read_as_it_was_written_and_nothing_else_is() -> None:
    """Sender, number, half, first number of the window, and the window before."""
    for place in (BatchSequence(SENDER, 42, 41, wire(HOUR_NS)), BatchSequence(SENDER, 1, 1).half(0).half(1)):
        assert parse_sequence(place.text()) == place
    good = BatchSequence(SENDER, 42, 41).text()
    for bad in ("", good + " ", good.replace("42", "0"), good.replace("41", "43"), good.replace("42", "4" * 30), "\0"):
        assert parse_sequence(bad) is None


def test_halves_of_halves_cover_the_whole() -> None:
    """Only both halves, each of them whole."""
    assert covers({".0", ".1"})
    assert covers({".0", ".1.0", ".1.1"})
    assert not covers({".0", ".1.0"})
    assert not covers({".0.0", ".1.1"})
    assert not covers(set())


@pytest.mark.parametrize(
    ("windows", "lost", "expected"),
    [
        ([0, 1, 2], {2}, {1: 1}),  # the whole window, and no other
        ([0, 1, 1, 1, 2], {3}, {1: 1}),  # the middle of one
        ([0, 1, 1, 2], {3}, {1: 1}),  # its end
        ([0, 1, 1, 2], {2}, {1: 1}),  # its begin
        ([1, 1, 1, 2], {1, 2}, {1: 2}),  # the first ones of the first window that comes
        ([0, 1, 1, 2], {1, 2}, {1: 1}),  # what another manager may have got is not counted
        ([0, 1, 2, 3], {4}, {}),  # the newest: nothing is known of it yet
    ],
)
def test_missing_number_belongs_to_its_window_alone(
    store: Store, windows: list[int], lost: set[int], expected: dict[int, int]
) -> None:
    """The neighbours say of which window it was."""
    for one in numbered(windows):
        if one.place.number not in lost:
            assert take(store, one) == "new"
    assert missing(store, 5) == expected
    assert count_missing(store) == sum(expected.values())


def test_late_batch_closes_its_gap_and_a_batch_sent_again_changes_nothing(store: Store) -> None:
    """A batch that stepped behind others is missing until it comes; two of one number are seen."""
    sent = numbered([0, 1, 2, 3])
    assert [take(store, sent[place]) for place in (0, 3, 3, 1, 1, 2, 2)] == [
        "new",
        "new",
        "known",
        "late",
        "known",
        "late",
        "known",
    ]
    assert (missing(store, 5), count_missing(store)) == ({}, 0)


def test_half_of_a_batch_leaves_its_window_incomplete_until_the_other_comes(store: Store) -> None:
    """After 413 the halves travel alone; a half that is split again counts by its own halves."""
    whole = numbered([0, 1, 2])
    assert take(store, whole[0]) == "new"
    half = Numbered(whole[1].place.half(0), whole[1].start_ns)
    other = [Numbered(whole[1].place.half(1).half(which), whole[1].start_ns) for which in (0, 1)]
    assert take(store, half) == "new"
    assert take(store, whole[2]) == "new"
    assert missing(store, 4) == {1: 1}
    assert [take(store, one) for one in other] == ["late", "late"]
    assert (missing(store, 4), count_missing(store)) == ({}, 0)


def test_no_lost_batch_is_overlooked_in_any_order(store: Store) -> None:
    """Random windows, losses, orders and repeats: every window that lacks one is named, and the sum is exact.

    Before the first window of which anything came nothing is known.
    """
    agent = agent_of(store)
    for turn in range(ROUNDS):
        dice = random.Random(turn)  # noqa: S311 - no secret
        windows = sorted(dice.choices(range(8), k=dice.randint(2, 20)))
        sent = [one._replace(place=replace(one.place, sender=f"{turn:016x}")) for one in numbered(windows)]
        lost = {one.place.number for one in sent if dice.random() < 0.3}
        arriving = [one for one in sent if one.place.number not in lost] * dice.choice((1, 2))
        dice.shuffle(arriving)
        before = count_missing(store)
        with store.writing() as connection:
            arrivals = [
                record_sequence(connection, agent, one.place, one.start_ns, f"node-{turn}", 1) for one in arriving
            ]
        assert arrivals.count("known") == len(arriving) - len(set(arriving)), turn
        came = [one.place for one in arriving]
        oldest, newest = min((one.first for one in came), default=1), max((one.number for one in came), default=0)
        known = [one for one in sent if one.place.number in lost and oldest <= one.place.number < newest]
        assert count_missing(store) - before == len(known), turn
        for one in known:
            assert f"node-{turn}" in missing_by_node(store, agent, one.start_ns), (turn, one)
