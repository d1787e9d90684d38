"""What a manager does to its agents over time: batches arrive once each, in order, and nothing leaks or is lost."""

import os
import secrets
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering

HOUR_SECONDS = 3600


@contextmanager
def manager(status_for: Callable[[str], int]) -> Iterator[tuple[str, list[str]]]:
    """A manager that answers each batch id by a table, and the ids that it answered with 201."""
    stored: list[str] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        batch_id = posted.headers["Idempotency-Key"]
        status = status_for(batch_id)
        if status == 201:
            stored.append(batch_id)
        return GivenAnswer(status)

    with answering(answer) as url:
        yield url, stored


@contextmanager
def pushing(folder: Path, url: str, batches: int) -> Iterator[tuple[Pusher, list[tuple[str, str]]]]:
    """A pusher with that many batches, and what was lost: reason and id."""
    (folder / "token").write_text("t" * 32)
    lost: list[tuple[str, str]] = []
    with closing(
        Spool(folder / "spool", on_dropped=lambda reason, name, _events: lost.append((reason, name)))
    ) as spool:
        for number in range(batches):
            spool.put(Batch(f"c-{number}", "connections", 1 << 62, pack({"connectionList": []})))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
        with closing(Pusher(settings, spool, TokenFile(str(folder / "token")))) as made:
            yield made, lost


def test_row_40_failing_manager_gets_each_batch_once_in_order_and_is_spared_meanwhile(tmp_path: Path) -> None:
    """5xx of every kind, then 201: waits may grow up to twice as long each time, and begin anew after a success."""
    script = iter([500, 502, 503, 504, 500, 502, 201, 503, 201])
    with manager(lambda _id: next(script)) as (url, stored), pushing(tmp_path, url, 2) as (pusher, lost):
        outcomes = [pusher.step() for _ in range(9)]
        assert pusher.step().code == "idle"
    assert stored == ["c-0", "c-1"]
    assert lost == []
    limits = [1, 2, 4, 8, 16, 32, 0, 1, 0]
    assert all(0 <= one.wait_seconds <= limit for one, limit in zip(outcomes, limits, strict=True))


@pytest.mark.parametrize("status", [401, 403, 404])
def test_rows_42_43_refusing_manager_is_asked_at_most_ten_times_an_hour_and_gets_all_in_the_end(
    tmp_path: Path, status: int
) -> None:
    """A token that is unknown for an hour costs ten probes at most; the first good answer opens the queue."""
    known = threading.Event()
    standing = manager(lambda _id: 201 if known.is_set() else status)
    with standing as (url, stored), pushing(tmp_path, url, 3) as (pusher, lost):
        waited, probes = 0.0, 0
        while waited < HOUR_SECONDS:
            outcome = pusher.step()
            probes, waited = probes + 1, waited + outcome.wait_seconds
            assert (outcome.code, outcome.batch.id if outcome.batch else "") == (str(status), "c-0")
            assert outcome.wait_seconds <= HOUR_SECONDS / 4
        known.set()
        assert [pusher.step().code for _ in range(4)] == ["201", "201", "201", "idle"]
    assert probes <= 10
    assert stored == ["c-0", "c-1", "c-2"]
    assert lost == []


def test_row_44_one_bad_batch_of_a_hundred_holds_up_no_other(tmp_path: Path) -> None:
    """99 are delivered in order, one is set aside and counted."""
    standing = manager(lambda batch_id: 400 if batch_id == "c-41" else 201)
    with standing as (url, stored), pushing(tmp_path, url, 100) as (pusher, lost):
        codes = [pusher.step().code for _ in range(101)]
    assert (codes.count("201"), codes.count("400"), codes[-1]) == (99, 1, "idle")
    assert stored == [f"c-{n}" for n in range(100) if n != 41]
    assert lost == [("rejected", "c-41")]
    assert [path.name for path in (tmp_path / "spool" / "rejected").iterdir()] == ["000000000042-c-41.batch"]


def raw_server(serve: Callable[[socket.socket], None]) -> tuple[socket.socket, str]:
    """A listener whose connections are served one after the other until it is closed, and its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                serve(connection)

    threading.Thread(target=accept, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def request_of(connection: socket.socket) -> None:
    """Read a request's head and what came with it."""
    connection.recv(65536)


def test_row_48_endless_answer_is_cut_after_64_kib(tmp_path: Path) -> None:
    """The status counts; a body without an end, also with Content-Encoding gzip, is read no further."""
    sent: list[int] = []

    def endless(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Encoding: gzip\r\nContent-Length: 1073741824\r\n\r\n")
        try:
            while True:
                sent.append(connection.send(b"\0" * 65536))
        except OSError:
            return

    listener, url = raw_server(endless)
    with closing(listener), pushing(tmp_path, url, 1) as (pusher, lost):
        assert [pusher.step().code for _ in range(2)] == ["201", "idle"]
    assert lost == []
    assert sum(sent) < 16 << 20  # what the two sockets held by then


def reset(connection: socket.socket) -> None:
    """An RST amid the request."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_an_answer(connection: socket.socket) -> None:
    """An answer whose head never ends."""
    request_of(connection)
    connection.sendall(b"HTTP/1.1 201 Cre")


def no_answer(connection: socket.socket) -> None:
    """An end instead of an answer."""
    request_of(connection)


def nonsense(connection: socket.socket) -> None:
    """Another protocol, such as a TLS alert."""
    request_of(connection)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x28")


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("serve", [reset, half_an_answer, no_answer, nonsense])
def test_row_49_broken_connections_lose_nothing_and_leak_no_descriptor(
    tmp_path: Path, serve: Callable[[socket.socket], None]
) -> None:
    """250 rounds of each: every one is an error to retry, and as many files are open as before."""
    listener, url = raw_server(serve)
    with closing(listener), pushing(tmp_path, url, 1) as (pusher, lost):
        assert pusher.step().code == "error"
        before = descriptors()
        for _ in range(250):
            outcome = pusher.step()
            assert (outcome.code, outcome.reason in ("transport", "connect")) == ("error", True)
        assert descriptors() <= before + 1
        assert pusher.spool.stats().batches == 1
    assert lost == []


def write_for_ever(folder: Path, turn: int, pipe: int) -> None:
    """In a child: write batches until it is killed, and say which are kept; never return to the tests."""
    try:
        spool = Spool(folder)
        for number in range(1_000_000):
            name = f"c-{turn}-{number}"
            spool.put(Batch(name, "connections", 1 << 62, secrets.token_bytes(20_000)))
            os.write(pipe, f"{name}\n".encode())
    finally:
        os._exit(1)


@pytest.mark.long
def test_row_50_killed_amid_writing_leaves_whole_batches_alone(tmp_path: Path) -> None:
    """SIGKILL at any moment, 100 times: what is there is whole, none of those that were reported as kept is missing."""
    kept = tmp_path / "kept"
    for turn in range(100):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            write_for_ever(tmp_path / "spool", turn, writer)
        os.close(writer)
        with os.fdopen(reader, "rb") as written:
            first = written.readline()
            time.sleep(secrets.randbelow(3000) / 1_000_000)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            names = [first, *written.readlines()]
        with kept.open("ab") as file:
            file.writelines(names)
    lost: list[str] = []
    with closing(Spool(tmp_path / "spool", on_dropped=lambda reason, *_: lost.append(reason))) as spool:
        found = set()
        while batch := spool.oldest():
            found.add(batch.id)
            spool.delete(batch.id)
    assert lost == []
    assert set(kept.read_text().split()) <= found
    assert not list((tmp_path / "spool").glob("*.tmp"))
