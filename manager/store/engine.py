"""Engines for the two databases: a SQLite whose commits are durable, a PostgreSQL that fails instead of hanging.

On both a reader has one snapshot for the whole of its transaction.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError

from manager.store.postgresql import ANSWER_SECONDS, BoundedConnection
from podsonar.errors import SettingsError, StoreConflictError, StoreError

BUSY_TIMEOUT_MS = 5000
MIGRATION_TIMEOUT_MS = 600_000  # for another manager that changes the schema
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 10
# A manager that is paused in the middle of a transaction must not hold an agent's row forever.
IDLE_SECONDS = 60
POOL_SECONDS = 5
# Of PostgreSQL's advisory locks: schema and tokens change in one transaction at a time, whichever manager runs it.
ALONE = 0x706F64736F6E6172
CONFLICTS = ("40001", "40P01")  # serialization failure, deadlock
WRITES, READS = "writes", "reads"


def open_engine(given: str) -> Engine:
    """An engine for the URL; SettingsError for one of another database."""
    expected = "expected sqlite:///file or postgresql://user:password@host/database"
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise SettingsError(f"the database's URL cannot be read, {expected}") from None  # it may hold a password
    kind = url.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        return open_postgresql(url)
    if kind != "sqlite":
        raise SettingsError(f"the database's URL is {redacted_url(url)!r}, {expected}")
    return open_sqlite(url)


def redacted_url(url: URL) -> str:
    """The URL without parts that may hold a password, which can be before the host and in the query."""
    return url.set(drivername=url.drivername.partition("+")[0], query={}).render_as_string()


def open_sqlite(url: URL) -> Engine:
    """An engine whose commits are on disk."""
    protect(url)
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
        reads = connection.get_execution_options().get("podsonar") == READS
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def protect(url: URL) -> None:
    """Make the database's files readable for their owner alone: they hold hashes of tokens and what runs in clusters.

    SQLite gives the files beside it (-wal, -shm) the mode of the database (sqlite.org, wal.html), but takes those that
    are there. SettingsError where another user could replace one of them, or has put something else in its place. A
    folder that is missing is made: in a volume that every user may write to, such as an emptyDir, it is one's own.
    """
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        return
    path = Path(url.database)
    try:
        folder = path.absolute().parent
        folder.mkdir(mode=0o700, exist_ok=True)
        refuse_shared_folder(folder)
        for name in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
            make_own(name, create=name == path)
    except OSError as error:
        raise StoreError(f"database {redacted_url(url)!r} failed: {error.strerror}") from error


def refuse_shared_folder(folder: Path) -> None:
    """Raise SettingsError if every user of the machine may replace files of others in the folder."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise SettingsError(
            f"the database's folder {str(folder)!r} has mode {stat.S_IMODE(mode):04o}, in which every user may replace "
            "the database; expected one that others cannot write to, such as 0700"
        )


def make_own(path: Path, *, create: bool) -> None:
    """Give a file mode 0600; SettingsError unless it is a regular file of this process's user.

    A file that exists is not opened: its closing would end the locks that another connection of this process holds.
    """
    if create and not os.path.lexists(path):
        with contextlib.suppress(FileExistsError):  # another manager that starts now
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        about = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
        raise SettingsError(
            f"the database's file {str(path)!r} is of user {about.st_uid} and has mode {about.st_mode:o}, "
            f"expected a regular file of user {os.geteuid()}"
        )
    if stat.S_IMODE(about.st_mode) != 0o600:
        path.chmod(0o600)


def open_postgresql(url: URL) -> Engine:
    """An engine that gives up on a server which does not answer, and prepares nothing that a pooler would lose."""
    arguments: dict[str, Any] = {"prepare_threshold": None}
    defaults = {"connect_timeout": CONNECT_SECONDS, "application_name": "podsonar-manager"}
    # A connection whose other end is gone silently ends like a statement that takes too long.
    defaults |= {"keepalives_idle": 15, "keepalives_interval": 5, "tcp_user_timeout": STATEMENT_SECONDS * 1000}
    arguments |= {name: value for name, value in defaults.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_size=10,
        pool_timeout=POOL_SECONDS,
        connect_args=arguments,
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, given: list[Any], named: dict[str, Any]) -> BoundedConnection:
        """Open a connection of which every wait has an end."""
        return BoundedConnection.connect(*given, **named)

    @event.listens_for(engine, "checkin")
    def bound_again(raw: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
        """Take back what `lock_exclusively` allowed."""
        if raw is not None:
            raw.answer_seconds = ANSWER_SECONDS

    @event.listens_for(engine, "connect")
    def prepare(raw: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection
        """Bound statements and transactions at the server, too."""
        raw.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
        raw.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        raw.commit()

    return engine


def for_transaction(connection: Connection, what: str) -> Connection:
    """The connection, set up for a transaction that reads or writes."""
    options: dict[str, Any] = {"podsonar": what}
    if what == READS and connection.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return connection.execution_options(**options)


@contextmanager
def unchecked_references(connection: Connection) -> Iterator[None]:
    """Let SQLite check no foreign keys in the block (sqlite.org, lang_altertable.html 7); before a transaction."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        raw.execute("PRAGMA foreign_keys=OFF").close()
    try:
        yield
    finally:
        if connection.dialect.name == "sqlite":
            raw.execute("PRAGMA foreign_keys=ON").close()


def check_references(connection: Connection) -> None:
    """Raise StoreError if a row refers to one that is not there."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise StoreError(f"database sqlite failed: a row of {broken[0]!r} refers to a missing row of {broken[2]!r}")


@contextmanager
def patience(connection: Connection) -> Iterator[None]:
    """Let SQLite wait for the write lock as long as another manager's migration takes; before a transaction."""
    raw: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    raw.execute(f"PRAGMA busy_timeout={MIGRATION_TIMEOUT_MS}").close()
    try:
        yield
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").close()


def lock_exclusively(connection: Connection) -> None:
    """Wait until no other manager is in such a transaction; it may take as long as it takes."""
    if connection.dialect.name == "postgresql":
        bounded = connection.connection.dbapi_connection
        if isinstance(bounded, BoundedConnection):
            bounded.answer_seconds = None
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ALONE})


def store_error(engine: Engine, error: Exception) -> StoreError:
    """The database's error in one sentence: its own message if it is about the server and not about rows."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", None) in CONFLICTS:
        return StoreConflictError(f"database {engine.dialect.name}: another transaction was in the way")
    said = type(error).__name__
    if isinstance(error, OperationalError) and cause is not None:
        said = " ".join(str(cause).split())
    return StoreError(f"database {redacted_url(engine.url)!r} failed: {said}")
