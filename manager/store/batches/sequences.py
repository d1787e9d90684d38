"""Which batches of a sender are missing, by their numbers (podsonar/batch_sequence.py), and of which windows they are.

A gap is a run of numbers that have not come while a later one has. It closes when they come late: batches step behind
others, and halves of a split batch come one by one. What is missing after a sender's newest number is not known here;
such a window has no report of its node.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from manager.store.database import Store
from manager.store.tables import SENDERS, SEQUENCE_GAPS
from podsonar.batch_sequence import BatchSequence
from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339

MOST_GAPS = 10_000
Arrival = Literal["new", "late", "known"]


class Gap(NamedTuple):
    """Missing numbers: those from `after_first` are of window `after_ns`.

    The others are of windows from `before_ns` on, the last of them of `previous_ns`; without `before_ns` nothing of the
    sender had come before them, and they are not counted: they may have gone to another manager. `parts` are those that
    have come of the one missing number of a split batch.
    """

    low: int
    high: int
    node_name: str
    before_ns: int | None
    after_ns: int
    after_first: int
    previous_ns: int | None
    parts: str = ""


def parse_window(text: str) -> int | None:
    """The start of a window by its id; None for none."""
    try:
        return parse_rfc3339(text) if text else None
    except InputError:
        return None


def named_ns(start_ns: int) -> int:
    """The start of a window as its id has it: in whole seconds."""
    return start_ns - start_ns % NS_PER_SECOND


def covers(parts: Iterable[str]) -> bool:
    """Whether halves of halves, such as `.0`, `.1.0` and `.1.1`, make the whole."""
    known = set(parts)
    while "" not in known:
        pairs = {part[:-2] for part in known if part.endswith(".0") and part[:-1] + "1" in known}
        if pairs <= known:
            return False
        known |= pairs
    return True


def missing_in(gap: Gap, start_ns: int) -> int:
    """How many numbers of a gap belong, or may belong, to the window that begins at that time."""
    inside = max(0, gap.high - max(gap.low, gap.after_first) + 1)
    before = gap.high - gap.low + 1 - inside
    if start_ns == gap.after_ns and inside:
        return inside
    if not before or gap.before_ns is None:
        return 0
    last_ns = gap.previous_ns if gap.previous_ns is not None else gap.after_ns
    first_ns = last_ns if before == 1 and gap.previous_ns is not None else gap.before_ns
    # In either order: a capture that waited for the directory is sent after those of later windows.
    return before if min(first_ns, last_ns) <= start_ns <= max(first_ns, last_ns) else 0


def gaps_below(low: int, place: BatchSequence, start_ns: int, node_name: str, before_ns: int | None) -> list[Gap]:
    """The gaps from `low` to a number that has come, of the window that begins at that time."""
    previous_ns = parse_window(place.previous)
    gap = Gap(low, place.number - 1, node_name, before_ns, start_ns, place.first, previous_ns)
    if before_ns is not None:
        return [gap]
    return [gap._replace(high=place.first - 1), gap._replace(low=max(low, place.first), before_ns=start_ns)]


def without(gap: Gap, place: BatchSequence, start_ns: int) -> list[Gap]:
    """What is left of a gap once one of its numbers has come, of the window that begins at that time."""
    left = gaps_below(gap.low, place, start_ns, gap.node_name, gap.before_ns)
    return [*left, gap._replace(low=place.number + 1, before_ns=start_ns)]


def record_sequence(
    connection: Connection, agent_id: str, place: BatchSequence, start_ns: int, node_name: str, now_ns: int
) -> Arrival:
    """Take note that a batch has come; `known`: one of its number had come before."""
    sender = {"agent_id": agent_id, "sender": place.sender}
    this = (SENDERS.c.agent_id == agent_id) & (SENDERS.c.sender == place.sender)
    row = connection.execute(select(SENDERS).where(this)).mappings().first()
    partial = Gap(place.number, place.number, node_name, start_ns, start_ns, place.number, None, place.part)
    if row is None or place.number > row["newest"]:
        newest_before, before_ns = (row["newest"], row["start_ns"]) if row else (0, None)
        gaps = gaps_below(newest_before + 1, place, start_ns, node_name, before_ns)
        gaps += [partial] if place.part else []
        newest = {"node_name": node_name, "newest": place.number, "start_ns": start_ns, "updated_ns": now_ns}
        if row is None:
            connection.execute(insert(SENDERS), sender | newest)
        else:
            connection.execute(update(SENDERS).where(this).values(newest))
        insert_gaps(connection, sender, gaps, now_ns)
        return "new"
    found = select(SEQUENCE_GAPS).where(
        SEQUENCE_GAPS.c.agent_id == agent_id,
        SEQUENCE_GAPS.c.sender == place.sender,
        SEQUENCE_GAPS.c.low <= place.number,
        SEQUENCE_GAPS.c.high >= place.number,
    )
    held = connection.execute(found).mappings().first()
    if held is None:
        return "known"
    gap = gap_of(held)
    parts = {*gap.parts.split(), place.part}
    at = (SEQUENCE_GAPS.c.agent_id == agent_id) & (SEQUENCE_GAPS.c.sender == place.sender)
    connection.execute(delete(SEQUENCE_GAPS).where(at, SEQUENCE_GAPS.c.low == gap.low))
    rest = [] if gap.parts else without(gap, place, start_ns)
    if place.part and not covers(parts):
        rest.append(partial._replace(parts=" ".join(sorted(parts - {""}))))
    insert_gaps(connection, sender, rest, now_ns)
    return "late"


def gap_of(row: Any) -> Gap:  # noqa: ANN401 - a row of SQLAlchemy
    """The gap in a row."""
    return Gap(**{name: row[name] for name in Gap._fields})


def insert_gaps(connection: Connection, sender: dict[str, str], gaps: Iterable[Gap], now_ns: int) -> None:
    """Store gaps of a sender."""
    rows = [sender | gap._asdict() | {"updated_ns": now_ns} for gap in gaps if gap.low <= gap.high]
    if rows:
        connection.execute(insert(SEQUENCE_GAPS), rows)


def list_gaps(connection: Connection, agent_id: str) -> list[Gap]:
    """The gaps of an agent's nodes."""
    wanted = select(SEQUENCE_GAPS).where(SEQUENCE_GAPS.c.agent_id == agent_id, SEQUENCE_GAPS.c.node_name != "")
    return [gap_of(row) for row in connection.execute(wanted.limit(MOST_GAPS)).mappings()]


def missing_by_node(store: Store, agent_id: str, start_ns: int) -> dict[str, int]:
    """How many batches of a window are missing, by node."""
    start_ns = named_ns(start_ns)
    gaps = SEQUENCE_GAPS.c
    near = (gaps.before_ns, gaps.previous_ns, gaps.after_ns)
    touched = or_(*(one <= start_ns for one in near)) & or_(*(one >= start_ns for one in near))
    wanted = select(SEQUENCE_GAPS).where(gaps.agent_id == agent_id, gaps.node_name != "", touched)
    missing: dict[str, int] = {}
    with store.reading() as connection:
        for row in connection.execute(wanted).mappings():
            if number := missing_in(gap_of(row), start_ns):
                missing[row["node_name"]] = missing.get(row["node_name"], 0) + number
    return missing


def count_missing(store: Store, agent_id: str | None = None) -> int:
    """How many batches are missing, of an agent or of all."""
    counted = SEQUENCE_GAPS.c.before_ns.is_not(None)
    wanted = select(func.sum(SEQUENCE_GAPS.c.high - SEQUENCE_GAPS.c.low + 1)).where(counted)
    if agent_id is not None:
        wanted = wanted.where(SEQUENCE_GAPS.c.agent_id == agent_id)
    with store.reading() as connection:
        return int(connection.execute(wanted).scalar() or 0)
