"""How SQLite runs the statements of a store, and how much it does in each transaction that writes."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from manager.store.database import Store
from manager.store.engine import WRITES

PER_CALL = 10  # instructions


@dataclass
class QueryPlans:
    """What was run since `watch_plans`: steps of plans, those of transactions that write apart, and instructions."""

    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    deleted_from: set[str] = field(default_factory=set)
    instructions: list[int] = field(default_factory=list)  # per transaction that writes

    def count(self) -> int:
        """Take note of some instructions; 0: go on."""
        if self.instructions:
            self.instructions[-1] += PER_CALL
        return 0

    def scans(self) -> set[str]:
        """The steps that read all of a table or of one of its indexes."""
        return {step for step in self.read | self.written if step.startswith("SCAN ")}


def watch_plans(store: Store) -> QueryPlans:
    """Take note of every statement that the store runs from now on."""
    found = QueryPlans()

    @event.listens_for(store.engine, "before_cursor_execute")
    def note(
        connection: Any,
        _cursor: object,
        statement: str,
        parameters: Any,
        _context: object,
        many: bool,
    ) -> None:
        """Explain the statement before it is run."""
        raw = connection.connection.dbapi_connection
        raw.set_progress_handler(None, 0)
        if statement == "BEGIN IMMEDIATE":
            found.instructions.append(0)
        words = statement.split()
        if words[0] in ("SELECT", "UPDATE", "DELETE"):
            explained = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if many else parameters)
            writes = connection.get_execution_options().get("podsonar") == WRITES
            (found.written if writes else found.read).update(row[3] for row in explained)
        if words[0] == "DELETE":
            found.deleted_from.add(words[2])
        raw.set_progress_handler(found.count, PER_CALL)

    return found
