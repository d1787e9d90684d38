"""Log streams written: opened, appended to, closed. Every function works in the caller's transaction.

A line that comes again is not stored again; another line of a position that is taken is stored with a mark. What finds
no room is counted. Nothing is deleted by opening or closing.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from manager.store.logs.lines import (
    STREAM_BYTES,
    Group,
    Line,
    encode_line,
    has_exact_time,
    has_position,
    pack_lines,
    position_ranges,
    unpack_lines,
    writer_groups,
)
from manager.store.logs.tables import LOG_CHUNKS, LOG_STREAMS

MARK = {"podsonar": "another line of this position"}
CHUNKS_COMPARED = 64  # stored requests that a new one is compared with; beyond, lines are stored as they come


class Appended(NamedTuple):
    """What became of the lines of a request; those that are kept, as stored, have numbers from `first_sequence` on."""

    kept: int = 0
    duplicate: int = 0
    conflicting: int = 0
    not_kept: int = 0
    opened: bool = False  # the stream had never been opened, or was closed
    first_sequence: int = 0
    lines: Sequence[bytes] = ()


def this_stream(account: str, key: str) -> Any:  # noqa: ANN401 - a SQL expression
    """The condition for the row of a stream."""
    return (LOG_STREAMS.c.account == account) & (LOG_STREAMS.c.key == key)


def lock_stream(connection: Connection, account: str, key: str, now_ns: int, scope: dict[str, str]) -> tuple[Any, bool]:
    """The row of the stream, which no other transaction writes to until this one ends, and whether it is new."""
    wanted = select(LOG_STREAMS).where(this_stream(account, key)).with_for_update()
    found = connection.execute(wanted).mappings().first()
    if found is not None:
        return found, False
    row = {"account": account, "key": key, "opened_ns": now_ns, "touched_ns": now_ns, **scope}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(LOG_STREAMS).values(row).on_conflict_do_nothing(index_elements=["account", "key"])
    made = connection.execute(statement.returning(LOG_STREAMS.c.key)).first() is not None
    return connection.execute(wanted).mappings().one(), made


def open_stream(connection: Connection, account: str, key: str, now_ns: int, **scope: str) -> None:
    """Open a stream; an open one is left as it is, a closed one goes on with its lines."""
    stream, made = lock_stream(connection, account, key, now_ns, scope)
    if not made and stream["closed_ns"] is not None:
        changed = {"closed_ns": None, "touched_ns": now_ns}
        connection.execute(update(LOG_STREAMS).where(this_stream(account, key)).values(changed))


def close_stream(connection: Connection, account: str, key: str, now_ns: int) -> None:
    """Close a stream; its lines stay. One that was never opened is not made."""
    wanted = this_stream(account, key) & LOG_STREAMS.c.closed_ns.is_(None)
    connection.execute(update(LOG_STREAMS).where(wanted).values(closed_ns=now_ns, touched_ns=now_ns))


def append_lines(
    connection: Connection,
    account: str,
    key: str,
    writer: str,
    lines: list[Line],
    now_ns: int,
    request_id: str = "",
    **scope: str,
) -> Appended:
    """Append the lines of one program to a stream, which is opened if it is not open."""
    return append_groups(connection, account, key, writer_groups(writer, lines), now_ns, request_id, **scope)


def append_groups(
    connection: Connection,
    account: str,
    key: str,
    groups: Sequence[Group],
    now_ns: int,
    request_id: str = "",
    **scope: str,
) -> Appended:
    """Append lines to a stream, which is opened if it is not open.

    `request_id`: the same one again changes nothing.
    """
    stream, made = lock_stream(connection, account, key, now_ns, scope)
    if (
        request_id
        and connection.execute(
            select(LOG_CHUNKS.c.lines).where(in_stream(account, key), LOG_CHUNKS.c.request_id == request_id).limit(1)
        ).first()
    ):
        return Appended(duplicate=sum(len(group.lines) for group in groups))
    totals: Counter[str] = Counter()
    stored: list[bytes] = []
    sequence, room = int(stream["next_sequence"]), STREAM_BYTES - int(stream["bytes"])
    for group in groups:
        found, counts = new_lines(connection, account, key, group)
        kept = [*found]
        encoded = [*group.encoded] if found is group.lines else [encode_line(line) for line in kept]
        sizes = sum(map(len, encoded)) + len(encoded)
        while encoded and sizes > room:
            lost = encoded.pop()
            kept.pop()
            sizes -= len(lost) + 1
            counts["not_kept_bytes"] += len(lost) + 1
            counts["not_kept"] += 1
        if kept:
            row = chunk_row(connection, account, key, group._replace(lines=kept), now_ns)
            facts = {"first_sequence": sequence, "request_id": request_id, "sha256": group.sha256}
            connection.execute(insert(LOG_CHUNKS), row | facts | {"body": pack_lines(encoded)})
        sequence += len(kept)
        stored += encoded
        room -= sizes
        totals.update(counts, kept=len(kept), bytes=sizes)
    opened = made or stream["closed_ns"] is not None
    values = {
        "closed_ns": None,
        "touched_ns": now_ns,
        "next_sequence": sequence,
        "lines": LOG_STREAMS.c.lines + totals["kept"],
        "bytes": LOG_STREAMS.c.bytes + totals["bytes"],
        "not_kept_lines": LOG_STREAMS.c.not_kept_lines + totals["not_kept"],
        "not_kept_bytes": LOG_STREAMS.c.not_kept_bytes + totals["not_kept_bytes"],
        "duplicate_lines": LOG_STREAMS.c.duplicate_lines + totals["duplicate"],
        "conflicting_lines": LOG_STREAMS.c.conflicting_lines + totals["conflicting"],
        "implicit_opens": LOG_STREAMS.c.implicit_opens + int(opened),
    }
    connection.execute(update(LOG_STREAMS).where(this_stream(account, key)).values(values))
    counts_of = (totals["kept"], totals["duplicate"], totals["conflicting"], totals["not_kept"])
    return Appended(*counts_of, opened, int(stream["next_sequence"]), stored)


def in_stream(account: str, key: str) -> Any:  # noqa: ANN401 - a SQL expression
    """The condition for the chunks of a stream."""
    return (LOG_CHUNKS.c.account == account) & (LOG_CHUNKS.c.key == key)


def chunk_row(connection: Connection, account: str, key: str, group: Group, now_ns: int) -> dict[str, Any]:
    """The row of a chunk but for what its content gives; lines without a position follow the writer's last one."""
    positions = sorted(line.get("pos", 0) for line in group.lines if has_position(line, numbered=group.numbered))
    if positions:
        first, last = positions[0], positions[-1]
    else:
        own = in_stream(account, key) & (LOG_CHUNKS.c.writer == group.writer)
        newest = select(LOG_CHUNKS.c.last_pos).where(own).order_by(LOG_CHUNKS.c.last_pos.desc()).limit(1)
        first = last = connection.execute(newest).scalar() or 0
    return {
        "account": account,
        "key": key,
        "writer": group.writer,
        "lines": len(group.lines),
        "first_pos": first,
        "last_pos": last,
        "positions": orjson.dumps(position_ranges(positions)),
        "received_ns": now_ns,
    }


def new_lines(connection: Connection, account: str, key: str, group: Group) -> tuple[list[Line], Counter[str]]:
    """The lines of a group that are not stored yet, those of a taken position marked, and how many were what.

    The group's own list if all of them are as they are.
    """
    positions = group.positions
    if not positions and not all(map(has_exact_time, group.lines)):
        return group.lines, Counter()
    near = in_stream(account, key) & (LOG_CHUNKS.c.writer == group.writer)
    if positions:
        near &= (LOG_CHUNKS.c.last_pos >= min(positions)) & (LOG_CHUNKS.c.first_pos <= max(positions))
    else:
        near &= LOG_CHUNKS.c.sha256 == group.sha256
    names = ("first_sequence", "sha256", "positions")
    wanted = select(*(LOG_CHUNKS.c[name] for name in names)).where(near).order_by(LOG_CHUNKS.c.last_pos.desc())
    stored = connection.execute(wanted.limit(CHUNKS_COMPARED)).all()
    if stored and group.sha256 in {row.sha256 for row in stored}:
        return [], Counter(duplicate=len(group.lines))
    if not stored and len(set(positions)) == len(positions):
        return group.lines, Counter()
    return compare(connection, account, key, group, stored)


def compare(
    connection: Connection, account: str, key: str, group: Group, stored: Sequence[Row[Any]]
) -> tuple[list[Line], Counter[str]]:
    """The lines of a group that stored chunks, or earlier ones of the group, do not hold."""
    taken: dict[int, list[Line]] = {}
    asked = set(group.positions)
    for row in stored:
        if not any(first <= pos <= last for first, last in orjson.loads(row.positions) for pos in asked):
            continue
        this = in_stream(account, key) & (LOG_CHUNKS.c.first_sequence == row.first_sequence)
        for text in unpack_lines(connection.execute(select(LOG_CHUNKS.c.body).where(this)).scalar_one()):
            line = orjson.loads(text)
            if line.get("pos", 0) in asked:
                taken.setdefault(line.get("pos", 0), []).append(line)
    kept: list[Line] = []
    counts: Counter[str] = Counter()
    for line in group.lines:
        if not has_position(line, numbered=group.numbered):
            kept.append(line)
            continue
        same = taken.setdefault(line.get("pos", 0), [])
        if any(is_same(line, other) for other in same):
            counts["duplicate"] += 1
            continue
        counts["conflicting"] += bool(same)
        kept.append(line | MARK if same else line)
        same.append(line)
    return kept, counts


def is_same(line: Line, other: Line) -> bool:
    """Whether the second, as stored, is the first: a mark and a cut aside."""
    sent, stored = ({name: value for name, value in one.items() if name not in MARK} for one in (line, other))
    return sent == stored or orjson.loads(encode_line(line)) == stored
