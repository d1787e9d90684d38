"""The database: opened, migrated, and one way to read and one to write.

On SQLite writes are serialised here and begin with BEGIN IMMEDIATE, so that a writer waits at its begin and never fails
half way. On PostgreSQL several managers may write: what belongs together is locked by the agent's row
(manager/store/batches/writes.py). A write is on disk when `writing` returns. SQL is what SQLite and PostgreSQL share.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from manager.store.engine import (
    READS,
    WRITES,
    check_references,
    for_transaction,
    lock_exclusively,
    open_engine,
    patience,
    redacted_url,
    store_error,
    unchecked_references,
)
from podsonar.errors import StoreError

# SQLite takes at most 32,766 parameters a statement; one statement a row with executemany stays far below.


def ignore_duration(_seconds: float) -> None:
    """Discard the duration of a transaction."""


class Store:
    """The manager's database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.shared = self.engine.dialect.name == "postgresql"
        self.writer = threading.Lock()
        self.used_tokens: dict[str, int] = {}  # id -> when, until `store_token_uses`
        self.on_transaction: Callable[[float], object] = ignore_duration

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema up to date; nothing happens if it is. StoreError where a newer manager has changed it."""
        config = alembic.config.Config()
        config.set_main_option(
            "script_location", str(Path(__file__).resolve().parent.parent / "migrations").replace("%", "%%")
        )
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        with self.writing(exclusive=True, checks_references=False) as connection:
            found = MigrationContext.configure(connection).get_current_heads()
            if unknown := sorted(set(found) - known):
                raise StoreError(
                    f"database {redacted_url(self.engine.url)!r} has schema {unknown[0]}, "
                    f"this manager knows up to {max(known)}: a newer manager has used it, run that one"
                )
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, revision)

    @contextmanager
    def writing(self, *, exclusive: bool = False, checks_references: bool = True) -> Iterator[Connection]:
        """A transaction that is committed when the block ends well, and rolled back otherwise.

        `exclusive`: no other manager is in such a one (schema, tokens). Without `checks_references` SQLite checks
        foreign keys only once, at the end: a migration may replace a table that others refer to.
        """
        one_at_a_time = nullcontext() if self.shared else self.writer
        with one_at_a_time, database_errors(self.engine), self.engine.connect() as connection:
            options = for_transaction(connection, WRITES)
            began = time.monotonic()
            with (
                patience(options) if exclusive else nullcontext(),
                nullcontext() if checks_references else unchecked_references(options),
                options.begin(),
            ):
                if exclusive:
                    lock_exclusively(options)
                yield options
                if not checks_references:
                    check_references(options)
            self.on_transaction(time.monotonic() - began)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot to read from; readers never wait for the writer."""
        with database_errors(self.engine), self.engine.connect() as connection:
            yield for_transaction(connection, READS)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Map what the database raises to StoreError."""
    driver: type[Exception] = engine.dialect.loaded_dbapi.Error
    try:
        yield
    except (SQLAlchemyError, driver) as error:
        raise store_error(engine, error) from error


def upsert(connection: Connection, table: Table, rows: list[dict[str, Any]], *, keep: tuple[str, ...] = ()) -> None:
    """Insert rows, or replace those whose primary key is there; columns in `keep` hold their first value."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    changed = [name for name in rows[0] if name not in (*keys, *keep)]
    if connection.dialect.name == "postgresql":
        late = postgresql.insert(table)
        statement: Any = late.on_conflict_do_update(index_elements=keys, set_={n: late.excluded[n] for n in changed})
    else:
        early = sqlite.insert(table)
        statement = early.on_conflict_do_update(index_elements=keys, set_={n: early.excluded[n] for n in changed})
    connection.execute(statement, rows)
