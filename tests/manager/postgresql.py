"""A PostgreSQL server of the tests' own: a temporary folder, loopback, an unprivileged user; gone with the tests."""

import ctypes
import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from lab.controlplane.ports import free_ports

DEBIAN = Path("/usr/lib/postgresql")
PR_SET_PDEATHSIG = 1
READY_SECONDS = 120
# What is lost with the machine's power is lost with the test anyway; a database more is then a matter of milliseconds.
SETTINGS = {"fsync": "off", "max_connections": "100", "shared_buffers": "32MB"}


def programs() -> Path | None:
    """The folder of the newest server's programs, where there is one."""
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def missing_postgresql() -> str | None:
    """What the PostgreSQL tests lack here, or None."""
    return None if programs() else "PostgreSQL's server (Debian package `postgresql`)"


def die_with_parent() -> None:
    """End at once when the tests end, however they do (SIGQUIT: PostgreSQL's immediate shutdown)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


class PostgresqlServer:
    """One server process; `url(database)` opens it as the user `podsonar`, who may make databases."""

    def __init__(self, address: str = "127.0.0.1", settings: Mapping[str, str] = SETTINGS) -> None:
        self.settings = {**SETTINGS, **settings, "listen_addresses": address}
        bin_folder = programs()
        assert bin_folder is not None
        self.programs, self.address, self.password = bin_folder, address, secrets.token_urlsafe(12)
        self.folder = Path(tempfile.mkdtemp(prefix="podsonar-postgresql-"))
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        os.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        (self.port,) = free_ports(1, address)
        self.process: subprocess.Popen[bytes] | None = None
        given = self.folder / "password"
        given.write_text(self.password)
        os.chown(given, self.user.pw_uid, self.user.pw_gid)
        self.spawn("initdb", "-A", "scram-sha-256", "-U", "podsonar", "--pwfile", str(given), "--no-sync").wait()
        given.unlink()
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")  # by itself it admits loopback alone
        self.databases = 0
        self.start()

    def spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A program over the server's data, as its unprivileged user."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self.programs / program), "-D", str(self.folder / "data"), *arguments],
                user=self.user.pw_uid if os.geteuid() == 0 else None,
                group=self.user.pw_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread of the tests holds a lock that it takes
            )

    def start(self) -> None:
        """Run; returns when it answers."""
        options = [word for key, value in self.settings.items() for word in ("-c", f"{key}={value}")]
        options += ["-c", f"unix_socket_directories={self.folder}"]
        self.process = self.spawn("postgres", "-p", str(self.port), *options)
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return

    def stop(self, number: int = signal.SIGINT) -> None:
        """End: SIGINT breaks every connection off, SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(READY_SECONDS)
            self.process = None

    def freeze(self) -> list[int]:
        """Let every process of the server stand still, its first one first: it starts no other. Their ids."""
        assert self.process is not None
        pid = self.process.pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        found = [pid]
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(child, signal.SIGSTOP)
                found.append(child)
        return found

    def go_on(self, pids: list[int]) -> None:
        """Let processes that stand still go on."""
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The server answers nothing until the block ends."""
        frozen = self.freeze()
        try:
            yield
        finally:
            self.go_on(frozen)

    def crash(self) -> None:
        """SIGKILL every process; returns when none of them has the server's memory, without which none starts."""
        assert self.process is not None
        pids = self.freeze()
        ends = []
        for pid in pids:
            with suppress(ProcessLookupError):
                ends.append(os.pidfd_open(pid))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for end in ends:
            assert select.select([end], [], [], READY_SECONDS)[0]
            os.close(end)
        self.process.wait()
        self.process = None

    def remove(self) -> None:
        """End, and leave nothing."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def url(self, database: str, password: str | None = None) -> str:
        """The URL of one of its databases."""
        return f"postgresql://podsonar:{password or self.password}@{self.address}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside a transaction; its rows, where it has any."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """The URL of an empty database, whose locale sorts names unlike SQLite does."""
        self.databases += 1
        name = f"podsonar_{self.databases}"
        self.execute(f"create database {name} template template0 locale_provider icu icu_locale 'en-US'")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.execute(f"drop database {url.rpartition('/')[2]} with (force)")
