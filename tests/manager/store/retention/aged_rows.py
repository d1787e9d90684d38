"""Rows of every age for an agent, and which of them retention has to delete, said in plain Python."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Table, select

from manager.store.database import Store
from manager.store.delegate_tables import DELEGATE_TASKS, INSTALLATIONS
from manager.store.tables import (
    BATCHES,
    INVENTORIES,
    INVENTORY_PARTS,
    OBJECTS,
    OBSERVATIONS,
    RECORD_BLOCKS,
    SENDERS,
    SEQUENCE_GAPS,
    WINDOWS,
)

Row = dict[str, Any]
Rows = dict[Table, list[Row]]

AGED = (
    INSTALLATIONS,
    DELEGATE_TASKS,
    RECORD_BLOCKS,
    OBSERVATIONS,
    INVENTORY_PARTS,
    INVENTORIES,
    WINDOWS,
    OBJECTS,
    BATCHES,
    SEQUENCE_GAPS,
    SENDERS,
)
NOTHING = b"{}"


def seeded(seed: int) -> random.Random:
    """The same choices for the same seed."""
    return random.Random(seed)  # noqa: S311 - not for secrets


def random_rows(rng: random.Random, agent_id: str, times: range, batches: int) -> Rows:
    """Rows of an agent whose times are of the range; several share a time, and some references name nothing."""

    def when() -> int:
        return rng.choice(times)

    rows: Rows = {table: [] for table in AGED}
    own = {"agent_id": agent_id}
    for number in range(batches):
        # Nothing of a batch is stored without it; a retention that was interrupted has deleted from the other end.
        there = rng.choice(("batch", "observed", "blocks", "blocks"))
        batch = own | {"batch_id": f"{rng.getrandbits(64):016x}", "received_ns": when()}
        rows[BATCHES].append(batch | {"kind": "connections"})
        if there == "batch":
            continue
        counts = {"observation": NOTHING, "connection_count": 1, "pod_index": b""}
        rows[OBSERVATIONS].append(batch | counts | {"window_id": f"w-{rng.randrange(90)}", "node_name": f"n-{number}"})
        if there == "blocks":
            block = own | {"batch_id": batch["batch_id"], "records": 1, "body": NOTHING}
            rows[RECORD_BLOCKS] += [block | {"side": n % 2, "block": n // 2} for n in range(rng.randrange(5))]
    for number in range(60):
        window = own | {"window_id": f"w-{number}", "start_ns": when()}
        rows[WINDOWS].append(window | {"end_ns": window["start_ns"] + 1})
        part = own | {"inventory_id": f"i-{number}", "part": 1, "body": NOTHING, "received_ns": when()}
        rows[INVENTORY_PARTS].append(part)
        listed = own | {"inventory_id": f"i-{number}", "start_ns": when(), "sequence": number}
        rows[INVENTORIES].append(listed | {"complete": rng.random() < 0.1})
        named = own | {"sender": f"s-{number}", "node_name": "n", "updated_ns": when()}
        rows[SENDERS].append(named | {"newest": 9, "start_ns": 1})
        gap = {"low": 1, "high": 2, "after_ns": 1, "after_first": 1, "parts": ""}
        rows[SEQUENCE_GAPS].append(named | gap | {"updated_ns": when()})
        pod = own | {"kind": "Pod", "uid": f"u-{number}", "namespace": "a", "name": "b", "facts": NOTHING}
        ages = {"created_ns": 1, "first_ns": 1, "updated_ns": 1, "removed_ns": rng.choice((None, when(), when()))}
        rows[OBJECTS].append(pod | ages | {"body": NOTHING})
        rows[INSTALLATIONS].append(own | installation(rng, f"{agent_id}-{number}", when()))
        task = {"id": f"{agent_id}-t{number}", "created_ns": when(), "installation_id": f"{agent_id}-{number * 2}"}
        rows[DELEGATE_TASKS].append(own | delegate_task(rng) | task)
    return rows


def installation(rng: random.Random, name: str, created_ns: int) -> Row:
    """An installation; most have a removal task, of which not all exist."""
    agent_id = name.rpartition("-")[0]
    removal = rng.choice((None, f"{agent_id}-t{rng.randrange(75)}", f"{agent_id}-t{rng.randrange(60)}"))
    row = {"id": name, "task_id": "t", "removal_task_id": removal, "agent_status": "READY", "details": NOTHING}
    flags = {"transient": True, "cron_triggered": False, "stopped": False}
    return row | flags | {"log_stream_id": "l", "created_ns": created_ns}


def delegate_task(rng: random.Random) -> Row:
    """A task of a delegate without its id and age."""
    row = {"kind": rng.choice(("apply", "delete", "delete")), "status": rng.choice(("SUCCESS", "SUCCESS", "FAILURE"))}
    bodies = {"body": NOTHING, "objects": b"[]", "log_key": "l"}
    return row | bodies | {"attempt": 1, "lease_until_ns": 0, "expires_ns": 1, "updated_ns": 1}


def insert_rows(store: Store, rows: Rows) -> None:
    """Store rows of every table."""
    with store.writing() as connection:
        for table, values in rows.items():
            if values:
                connection.execute(table.insert(), values)


def key_of(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The row's primary key."""
    return tuple(row[column.name] for column in table.primary_key)


def stored_keys(store: Store) -> dict[str, set[tuple[Any, ...]]]:
    """The primary keys of what is stored, by table."""
    with store.reading() as connection:
        return {table.name: {tuple(row) for row in connection.execute(select(*table.primary_key))} for table in AGED}


def kept_keys(per_agent: Iterable[Rows], before_ns: int) -> dict[str, set[tuple[Any, ...]]]:
    """The primary keys of what has to stay, by table."""
    kept: dict[str, set[tuple[Any, ...]]] = {table.name: set() for table in AGED}
    for rows in per_agent:
        for table, values in kept_rows(rows, before_ns).items():
            kept[table.name] |= {key_of(table, row) for row in values}
    return kept


def kept_rows(rows: Rows, before_ns: int) -> Rows:
    """Of one agent's rows those that have to stay."""
    taken_away = {t["id"] for t in rows[DELEGATE_TASKS] if (t["kind"], t["status"]) == ("delete", "SUCCESS")}
    last_ns = max(row["created_ns"] for row in rows[INSTALLATIONS])
    kept = {
        INSTALLATIONS: [
            row
            for row in rows[INSTALLATIONS]
            if row["created_ns"] in (last_ns, *range(before_ns, last_ns)) or row["removal_task_id"] not in taken_away
        ]
    }
    installed = {row["id"] for row in kept[INSTALLATIONS]}
    kept[DELEGATE_TASKS] = [
        row for row in rows[DELEGATE_TASKS] if row["created_ns"] >= before_ns or row["installation_id"] in installed
    ]
    for table in (BATCHES, OBSERVATIONS, INVENTORY_PARTS):
        kept[table] = [row for row in rows[table] if row["received_ns"] >= before_ns]
    recent = {row["batch_id"] for row in kept[BATCHES]}
    kept[RECORD_BLOCKS] = [row for row in rows[RECORD_BLOCKS] if row["batch_id"] in recent]
    newest_whole = max((row["start_ns"] for row in rows[INVENTORIES] if row["complete"]), default=0)
    kept[INVENTORIES] = [row for row in rows[INVENTORIES] if row["start_ns"] >= min(before_ns, newest_whole)]
    seen = {row["window_id"] for row in kept[OBSERVATIONS]}
    kept[WINDOWS] = [row for row in rows[WINDOWS] if row["start_ns"] >= before_ns or row["window_id"] in seen]
    kept[OBJECTS] = [row for row in rows[OBJECTS] if row["removed_ns"] is None or row["removed_ns"] >= before_ns]
    for table in (SENDERS, SEQUENCE_GAPS):
        kept[table] = [row for row in rows[table] if row["updated_ns"] >= before_ns]
    return kept
