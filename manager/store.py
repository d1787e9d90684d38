"""The database: opened, migrated, and one way to read and one to write.

Writes are serialised here and begin with BEGIN IMMEDIATE on SQLite, so that a writer waits at its begin and never
fails half way; a write is on disk (synchronous=FULL) when `writing` returns. SQL is what SQLite and PostgreSQL share.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import orjson
from isal import igzip_lib
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from discovery.errors import StoreError

BUSY_TIMEOUT_MS = 5000
# SQLite takes at most 32,766 parameters a statement; one statement a row with executemany stays far below.


def ignore(_seconds: float) -> None:
    """Tell nobody how long a transaction took."""


class Store:
    """The manager's database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        try:
            self.engine = open_engine(url)
        except (SQLAlchemyError, ImportError, ValueError) as error:
            raise StoreError(f"database {redacted(url)!r} cannot be opened: {type(error).__name__}") from error
        self.writer = threading.Lock()
        self.timed: Callable[[float], object] = ignore

    def migrate(self) -> None:
        """Bring the schema up to date; nothing happens if it is."""
        config = alembic.config.Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self.writing() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, "head")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed when the block ends well, and rolled back otherwise."""
        with self.writer, stored(self.engine), self.engine.connect() as connection:
            options = connection.execution_options(podsonar_writes=True)
            began = time.monotonic()
            with options.begin():
                yield options
            self.timed(time.monotonic() - began)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot to read from; readers never wait for the writer."""
        with stored(self.engine), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def packed(value: object) -> bytes:
    """`value` as it is stored where it may be large: JSON, gzipped."""
    return igzip_lib.compress(orjson.dumps(value), 1, igzip_lib.COMP_GZIP)


def unpacked(stored: bytes) -> Any:  # noqa: ANN401 - any JSON
    """What was packed."""
    return orjson.loads(igzip_lib.decompress(stored, igzip_lib.DECOMP_GZIP))


@contextmanager
def stored(engine: Engine) -> Iterator[None]:
    """Map what the database raises to StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"database {engine.dialect.name} failed: {type(error).__name__}") from error


def redacted(url: str) -> str:
    """The URL without what may hold a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def open_engine(url: str) -> Engine:
    """An engine for the URL; SQLite with the settings that make a commit durable."""
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
        """Take transactions out of the driver's hands and make commits durable."""
        raw.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON"):
            raw.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        """A writer takes the write lock at once; a reader takes a snapshot."""
        writes = connection.get_execution_options().get("podsonar_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


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
