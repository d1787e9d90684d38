"""Many windows: the history of an edge, when it was seen first and last, what a window brought."""

import random
from pathlib import Path
from typing import Any

import pytest

from manager.history.edges.changes import Brought
from manager.history.edges.diff import key_of
from manager.history.edges.history import read_history
from manager.store.agents import Agent, find_agent
from manager.store.maps.windows import list_kept
from tests.manager.history.conftest import Kept
from tests.manager.history.many_windows import FIRST_NS, HOUR_NS, keep, keep_many, map_at, observed_map, window_at

BASE = observed_map(13, 22, 3)
NAMES = ("source", "destination", "port", "type")


@pytest.fixture
def database(tmp_path: Path) -> str:
    """SQLite with a folder; files in PostgreSQL are read and written in test_archive.py."""
    return f"sqlite:///{tmp_path}/manager.db"


def agent_of(kept: Kept) -> Agent:
    """The agent `lab`."""
    found = find_agent(kept.store, "lab")
    assert found is not None
    return found


def edges_at(place: int) -> list[dict[str, Any]]:
    """The edges of a place: each is in some windows, with counts of its own."""
    dice = random.Random(place)  # noqa: S311
    there = [edge for number, edge in enumerate(BASE["edges"]) if number == 0 or dice.random() < 0.7]
    counts = [dice.randrange(1, 10 ** dice.randrange(1, 7)) for _ in there]
    return [
        edge | {"attempts": n + 2, "failed": 2 * (n % 2), "established": n + 2 - 2 * (n % 2)}
        for edge, n in zip(there, counts, strict=True)
    ]


def test_history_of_an_edge_is_what_its_windows_had(kept: Kept) -> None:
    """The same from chunks and from windows that are in none yet, for every edge."""
    agent = agent_of(kept)
    keep_many(kept.history, agent, 61, lambda place: map_at(BASE, place, edges_at(place)))
    rows = list_kept(kept.store, agent.id)
    assert sum(one.chunk is None for one in rows) == 61 - 48
    windows = [edges_at(place) for place in range(61)]
    for edge in BASE["edges"]:
        found = read_history(kept.history.archive, agent.id, rows, key_of(edge))
        expected = {
            FIRST_NS + place * HOUR_NS: (one["attempts"], one["established"], one["failed"])
            for place, edges in enumerate(windows)
            for one in edges
            if key_of(one) == key_of(edge)
        }
        assert {start: tuple(one[1:]) for start, one in found.items()} == expected
    answer = kept.running.get("/agents/lab/edges/history", **{name: BASE["edges"][3][name] for name in NAMES})
    seen = [count for count in answer["attempts"] if count is not None]
    assert len(answer["windows"]) == 61
    assert seen == [one["attempts"] for edges in windows for one in edges if key_of(one) == key_of(BASE["edges"][3])]
    in_order = [
        window for window, count in zip(answer["windows"], answer["attempts"], strict=True) if count is not None
    ]
    assert (answer["firstSeen"], answer["lastSeen"]) == (in_order[0], in_order[-1])


def test_revision_of_a_window_in_a_chunk_is_what_counts(kept: Kept) -> None:
    """What the chunk has of the revision before is not read any more."""
    agent, edge = agent_of(kept), BASE["edges"][0]
    keep_many(kept.history, agent, 30, lambda place: map_at(BASE, place))
    keep(kept.history, agent, map_at(BASE, 4, [edge | {"attempts": 12345, "established": 12345, "failed": 0}]), 2)
    kept.history.index(agent)
    rows = list_kept(kept.store, agent.id)
    found = read_history(kept.history.archive, agent.id, rows, key_of(edge))
    assert {one.attempts for one in found.values()} == {edge["attempts"], 12345}
    other = read_history(kept.history.archive, agent.id, rows, key_of(BASE["edges"][1]))
    assert FIRST_NS + 4 * HOUR_NS not in other
    assert len(other) == 29


def test_window_brings_what_no_window_before_had(kept: Kept) -> None:
    """New is new once; the first window brings nothing; what is gone would have been seen."""
    agent, brought = agent_of(kept), list[Brought]()
    kept.history.on_window = brought.append
    edges = BASE["edges"]
    failing = sum(edge["failed"] > 0 for edge in edges)
    for place, there in enumerate((edges[3:], edges, edges[3:], edges)):
        keep(kept.history, agent, map_at(BASE, place, there))
        kept.history.index(agent)
    gone_failing = sum(edge["failed"] > 0 for edge in edges[:3])
    assert brought == [(3, failing, 0), (0, failing - gone_failing, 3), (0, failing, 0)]
    changes = kept.running.get("/agents/lab/changes")
    assert (changes["new"], changes["gone"], len(changes["failed"])) == ([], [], failing)
    since = kept.running.get("/agents/lab/changes", since=window_at(1).id[:-1] + "Z")
    assert since["new"] == []
    day = kept.running.get("/agents/lab/changes", since="2h")
    assert {tuple(one[name] for name in NAMES) for one in day["new"]} == {key_of(edge) for edge in edges[:3]}
    assert {one["firstSeen"] for one in day["new"]} == {window_at(1).id}


def test_edge_that_a_revision_withdraws_was_never_seen(kept: Kept) -> None:
    """It is new when it comes in truth."""
    agent, brought = agent_of(kept), list[Brought]()
    kept.history.on_window = brought.append
    edges = BASE["edges"]
    keep(kept.history, agent, map_at(BASE, 0, edges[2:]))
    keep(kept.history, agent, map_at(BASE, 1, edges[1:]))
    kept.history.index(agent)
    keep(kept.history, agent, map_at(BASE, 1, edges[2:]), 2)
    kept.history.index(agent)
    assert kept.history.seen_keeper.seen.find(agent.id, key_of(edges[1])) is None
    keep(kept.history, agent, map_at(BASE, 2, edges[1:]))
    kept.history.index(agent)
    assert [one.new for one in brought] == [1, 0, 1]
    found = kept.history.seen_keeper.seen.find(agent.id, key_of(edges[1]))
    assert found is not None
    assert found.first_ns == FIRST_NS + 2 * HOUR_NS


def test_states_written_at_once_lose_nothing(kept: Kept) -> None:
    """Two managers that write at the same time leave two files, which are read as one."""
    agent = agent_of(kept)
    seen = kept.history.seen_keeper.seen
    keep_many(kept.history, agent, 1, lambda place: map_at(BASE, place, BASE["edges"][:9]))
    state, names = seen.read(agent.id)
    keep_many(kept.history, agent, 2, lambda place: map_at(BASE, place, BASE["edges"][5 * place : 5 * place + 9]))
    seen.write(agent.id, state, names)
    assert len(seen.since(agent.id, 0)) == 14


def test_diff_answers_what_differs_between_named_windows(kept: Kept) -> None:
    """By id, by name, and `previous` and `latest` without any."""
    agent, edges = agent_of(kept), BASE["edges"]
    keep_many(kept.history, agent, 3, lambda place: map_at(BASE, place, edges[place:]))
    found = kept.running.get("/agents/lab/diff")
    assert (found["before"], found["now"], found["notComparable"]) == (window_at(1).id, window_at(2).id, [])
    assert found["counts"]["removed"] == 1
    named = kept.running.get("/agents/lab/diff", before=window_at(0).id, now="latest")
    assert [(one["change"], one["source"], one["now"]) for one in named["changes"]] == [
        ("removed", edge["source"], None) for edge in edges[:2]
    ]


@pytest.mark.parametrize("since", ["yesterday", "5x", "2026-13-01T00:00:00Z"])
def test_time_that_is_none_is_refused(kept: Kept, since: str) -> None:
    """As a window that is not there."""
    agent = agent_of(kept)
    keep_many(kept.history, agent, 1, lambda place: map_at(BASE, place))
    with pytest.raises(AssertionError, match="no such window"):
        kept.running.get("/agents/lab/changes", since=since)


@pytest.mark.parametrize(
    "time",
    [
        *("0001-01-01T00:00:00Z", "1677-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2263-01-01T00:00:00Z"),
        *("9999-12-31T23:59:59Z", "9999-12-31T00:00:00+23:59"),
    ],
)
def test_time_of_any_year_is_before_or_behind_every_window(kept: Kept, time: str) -> None:
    """Also one that 64 bits of nanoseconds do not hold."""
    agent = agent_of(kept)
    keep_many(kept.history, agent, 2, lambda place: map_at(BASE, place))
    is_late = time > "2100"
    changes = kept.running.get("/agents/lab/changes", since=time)
    assert bool(changes["new"]) is not is_late
    edge = {name: BASE["edges"][3][name] for name in NAMES}
    found = kept.running.get("/agents/lab/edges/history", **edge, **{"from": time})
    assert len(found["windows"]) == (0 if is_late else 2)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_time_outside_the_calendar_is_refused(kept: Kept, time: str) -> None:
    """Its offset leads to the year 0, or 10,000."""
    agent = agent_of(kept)
    keep_many(kept.history, agent, 1, lambda place: map_at(BASE, place))
    with pytest.raises(AssertionError, match="no such window"):
        kept.running.get("/agents/lab/changes", since=time)
