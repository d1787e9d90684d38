"""Whatever a peer answers, the sender goes on: nothing ends its loop, nothing is kept or followed, nothing waits on."""

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from delivery.batch import Batch
from delivery.manager_url import ingest_url
from delivery.push import MOST_TRIES, Pusher, PushOutcome
from delivery.push_response import PushPace, ResponseAction, retry_after_seconds
from delivery.spool import Spool
from delivery.token_file import TokenFile
from lab.controlplane.certificates import Authority
from podsonar.errors import SettingsError
from podsonar.json_gzip import deflated, pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.delivery.test_manager_tls import authority, pair_for
from tests.delivery.test_push_faults import raw_server

CREATED_NS = 1 << 62
LENGTH = b"Content-Length: 0\r\n\r\n"


@contextmanager
def pusher_of(folder: Path, url: str, batches: int = 1, ca_file: str = "") -> Iterator[Pusher]:
    """A pusher with that many batches."""
    (folder / "token").write_text("t" * 32)
    with closing(Spool(folder / "spool")) as spool:
        for number in range(batches):
            spool.put(Batch(f"c-{number}", "connections", CREATED_NS, pack({})))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=url, ca_file=ca_file))
        with closing(Pusher(settings, spool, TokenFile(str(folder / "token")))) as pusher:
            yield pusher


def answer_with(response: bytes) -> Callable[[socket.socket], None]:
    """A peer that gives every request this response."""

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(response)

    return serve


def read_request(connection: socket.socket) -> None:
    """Read a whole request: bytes that nobody read would end the connection by a reset, and the response with it."""
    with connection.makefile("rb") as received:
        length = 0
        while (line := received.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        received.read(length)


LOCATIONS = (
    b"https://other.example/x",
    b"manager.example.com:8443/api/v1/collections",
    b"localhost:8080/x",
    b"https:/login.example.com/x",
    b"mailto:admin@example.com",
    b"http://",
    b"https://[fe80::1%25eth0]/",
    b"http://a b/",
    b"http://a:b/",
    b"",
    b"\xff\xfe",
    b"http://" + b"a" * 70000,
)
COOKIES = ("a=\u00fc".encode(), b"a=\xff", b"AWSALB=abc; Path=/", b"=; Max-Age=-1; Domain=.\xc3")


@pytest.mark.parametrize("location", LOCATIONS)
def test_row_46_redirects_are_not_parsed(tmp_path: Path, location: bytes) -> None:
    """Any Location: the queue is held, the batch stays, and the next response counts."""
    listener, url = raw_server(answer_with(b"HTTP/1.1 307 X\r\nLocation: " + location + b"\r\n" + LENGTH))
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        outcome = pusher.step()
        assert (outcome.code, outcome.held, outcome.wait_seconds) == ("307", True, 30)
        assert pusher.spool.stats().batches == 1


@pytest.mark.parametrize("cookie", COOKIES)
def test_cookies_are_not_kept(tmp_path: Path, cookie: bytes) -> None:
    """Any Set-Cookie on a stored batch: the next one is sent without it."""
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        heads.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 201 X\r\nSet-Cookie: " + cookie + b"\r\nConnection: close\r\n" + LENGTH)

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url, 3) as pusher:
        assert [pusher.step().code for _ in range(4)] == ["201", "201", "201", "idle"]
    assert not any(b"cookie" in head.lower() for head in heads)


def random_response(chance: random.Random) -> bytes:
    """A response that may be anything: odd status lines, headers, lengths, bodies, or no HTTP at all."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(2000))
    status = chance.choice([*range(100, 104), 200, 201, 204, *range(300, 309), *range(400, 432), *range(500, 512), 999])
    lines = [f"HTTP/1.{chance.randrange(2)} {status} ".encode() + chance.choice([b"", b"OK", b"\xff", b"x" * 5000])]
    values = [b"", b"\xff\xfe", b"0", b"-1", b"chunked", b"gzip", b"9" * 400, *LOCATIONS, *COOKIES]
    names = [b"Location", b"Set-Cookie", b"Content-Length", b"Transfer-Encoding", b"Retry-After", b"Content-Encoding"]
    names += [b"X-" + b"y" * chance.randrange(3000), b"Connection", b"bad name", b"Upgrade"]
    lines += [chance.choice(names) + b": " + chance.choice(values) for _ in range(chance.randrange(6))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + chance.randbytes(chance.randrange(3000))


@pytest.mark.parametrize("seed", range(4))
def test_random_responses_end_no_loop(tmp_path: Path, seed: int) -> None:
    """Every response is an outcome of the step, and a batch is either there or accounted for."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible test

    def serve(connection: socket.socket) -> None:
        answer_with(random_response(chance))(connection)

    listener, url = raw_server(serve)
    codes = []
    with closing(listener), pusher_of(tmp_path, url, 60) as pusher:
        for _ in range(60):
            outcome = pusher.step(2.0)
            codes.append(outcome.code)
        rejected = len(list((tmp_path / "spool").glob("rejected/*")))
        gone = 60 - pusher.spool.stats().batches
    settled = sum(code in ("201", "400", "409", "413", "422") for code in codes)
    assert gone == settled
    assert rejected == min(20, sum(code in ("400", "409", "413", "422") for code in codes))


def drip_headers(connection: socket.socket) -> None:
    """A valid head whose headers never end."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 201 OK\r\n")
    while True:
        try:
            connection.sendall(b"X: y\r\n")
        except OSError:
            return
        time.sleep(0.05)


def drip_interim(connection: socket.socket) -> None:
    """Interim responses without an end."""
    connection.recv(65536)
    while True:
        try:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:
            return
        time.sleep(0.05)


def drip_body(connection: socket.socket) -> None:
    """A body whose chunks come one by one, for ever."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        try:
            connection.sendall(b"1\r\nx\r\n")
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize("serve", [drip_headers, drip_interim, drip_body])
def test_exchange_ends_in_its_time_whatever_comes(tmp_path: Path, serve: Callable[[socket.socket], None]) -> None:
    """Each byte is in time, the whole is not: the attempt ends as a timeout, and the batch stays."""
    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        outcome = pusher.step(0.5)
        assert (outcome.code, outcome.reason) == ("error", "timeout")
        assert pusher.spool.stats().batches == 1


def test_peer_that_takes_a_byte_at_a_time_ends_in_its_time(tmp_path: Path) -> None:
    """A large body is written in pieces, each in time: the attempt ends as a timeout."""

    def serve(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            while connection.recv(512):
                time.sleep(0.02)
        except OSError:
            return

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url, 0) as pusher:
        pusher.spool.put(Batch("c-big", "connections", CREATED_NS, random.Random(1).randbytes(8 << 20)))  # noqa: S311
        outcome = pusher.step(1.0)
        assert (outcome.code, outcome.reason) == ("error", "timeout")


def test_tls_handshake_that_drips_ends_in_its_time(tmp_path: Path) -> None:
    """A server's handshake that comes a byte at a time."""
    own: Authority = authority(tmp_path, "own")
    pair = pair_for(own, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    def serve(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        try:
            for byte in outgoing.read():
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        except OSError:
            return

    listener, url = raw_server(serve)
    port = url.rpartition(":")[2]
    with closing(listener), pusher_of(tmp_path, f"https://localhost:{port}", 1, str(own.file)) as pusher:
        outcome = pusher.step(0.5)
        assert (outcome.code, outcome.reason) == ("error", "timeout")


def endless_zeros() -> bytes:
    """Gzip of more than the largest body that is split."""
    return deflated(b"\0" * (1 << 20) for _ in range(140))


@pytest.mark.parametrize(
    "payload",
    [
        b"no gzip",
        pack([]),
        pack({"connectionList": 7}),
        pack({"connectionList": [1, 2]}),
        pack({"connectionList": [{"attempts": "x"}, {"attempts": -1}]}),
        pack({"connectionList": [{}, {}], "observation": []}),
        deflated([b"[" * 100_000]),
        pack({"connectionList": [{}, {}]})[:-9],
        endless_zeros(),
    ],
)
def test_body_that_cannot_be_split_is_set_aside(tmp_path: Path, payload: bytes) -> None:
    """413 on whatever a file holds: quarantined, and the next batch is sent."""
    script = iter([413, 201])
    with answering(lambda _posted: GivenAnswer(next(script))) as url, pusher_of(tmp_path, url, 0) as pusher:
        pusher.spool.put(Batch("c-odd", "connections", CREATED_NS, payload))
        pusher.spool.put(Batch("c-good", "connections", CREATED_NS, pack({})))
        assert [pusher.step().code for _ in range(3)] == ["413", "201", "idle"]
        assert [path.name for path in (tmp_path / "spool/rejected").iterdir()] == ["000000000001-c-odd.batch"]


def test_batch_that_fails_thirty_times_steps_behind_the_others(tmp_path: Path) -> None:
    """A batch that the manager answers with 500 each time holds up the others no longer than that."""
    stored: list[str] = []

    def answer(posted: ReceivedRequest) -> GivenAnswer:
        name = posted.headers["Idempotency-Key"]
        if name == "c-0":
            return GivenAnswer(500)
        stored.append(name)
        return GivenAnswer(201)

    with answering(answer) as url, pusher_of(tmp_path, url, 3) as pusher:
        codes = [pusher.step().code for _ in range(MOST_TRIES + 2)]
        assert codes == ["500"] * MOST_TRIES + ["201", "201"]
        assert stored == ["c-1", "c-2"]
        assert [entry.batch_id for entry in pusher.spool.waiting()] == ["c-0"]


def test_error_that_no_step_foresaw_ends_no_loop(tmp_path: Path) -> None:
    """It is counted, and the loop goes on with the next turn."""
    failures: list[str] = []
    stop, delivered = threading.Event(), threading.Event()
    with answering(lambda _posted: GivenAnswer(201)) as url, pusher_of(tmp_path, url) as pusher:
        pusher.on_failure = failures.append
        errors = iter([RuntimeError("odd"), KeyError("odder")])

        def on_outcome(outcome: PushOutcome) -> None:
            if error := next(errors, None):
                raise error
            if outcome.code == "idle":
                delivered.set()

        pusher.on_outcome = on_outcome
        thread = threading.Thread(target=pusher.run, args=(stop,))
        thread.start()
        delivered.wait()
        stop.set()
        pusher.spool.wakeup.set()
        thread.join()
    assert failures == ["push", "push"]
    assert pusher.unready is None


def test_loop_that_does_not_come_back_is_not_ready(tmp_path: Path) -> None:
    """Readiness follows the loop's progress: past the time of a step and its wait it is `push_stalled`."""
    with pusher_of(tmp_path, "http://127.0.0.1:1") as pusher:
        assert pusher.unready is None
        pusher.due_at = time.monotonic() + 60
        assert pusher.unready is None
        pusher.due_at = time.monotonic() - 1
        assert pusher.unready == "push_stalled"


def test_first_hold_after_an_outage_is_short() -> None:
    """An hour of failures of another kind does not lengthen it, and a peer that is back is asked within seconds."""
    pace = PushPace()
    for _ in range(100):
        assert 0 <= pace.next_seconds(ResponseAction.RETRY, None) <= 60
    assert pace.next_seconds(ResponseAction.HOLD, None) == 30
    for _ in range(20):
        pace.next_seconds(ResponseAction.HOLD, None)
    assert pace.next_seconds(ResponseAction.HOLD, None) == 900
    assert 0 <= pace.next_seconds(ResponseAction.RETRY, None) <= 1


@pytest.mark.parametrize(("first", "second"), [(404, 401), (302, 405), (200, 404)])
def test_row_47_held_queue_goes_on_when_the_peer_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    """A gateway's own page for 15 minutes to wait: once the peer answers a request without a token otherwise."""
    monkeypatch.setattr("delivery.push.PEER_SECONDS", 0.0)
    monkeypatch.setattr("delivery.push.TOKEN_SECONDS", 0.01)
    asked: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        status = first if len(asked) < 4 else second
        connection.sendall(f"HTTP/1.1 {status} X\r\nConnection: close\r\n".encode() + LENGTH)

    listener, url = raw_server(serve)
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        pusher.token.read()
        pusher.pause(PushOutcome(str(first), 900.0, held=True), threading.Event())
    assert len(asked) == 4
    assert all(request.startswith(b"HEAD ") and b"Token" not in request for request in asked)


def test_peer_that_refuses_the_token_is_not_asked_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without a token would count against this address."""
    monkeypatch.setattr("delivery.push.PEER_SECONDS", 0.0)
    asked: list[bytes] = []
    listener, url = raw_server(lambda connection: asked.append(connection.recv(65536)))
    with closing(listener), pusher_of(tmp_path, url) as pusher:
        pusher.token.read()
        pusher.pause(PushOutcome("401", 0.2, held=True), threading.Event())
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://x.svc.attacker.example",
        "http://manager.shop.svc.cluster.local.attacker.example",
        "http://localhost.attacker.example",
        "http://127.0.0.1.attacker.example",
        "http://attacker.example/.svc",
        "http://attacker.example?.svc",
        "http://attacker.example#.svc",
        "http://x.svc@attacker.example",
        "http://attacker.example\\.svc",
        "http://svc",
        "http://x.SVC.attacker.example:80",
        "https://manager:99999",
        "https://manager:port",
        "https://[::1",
        "https://me:hidden@[::1",
    ],
)
def test_url_that_leaves_the_cluster_in_clear_or_cannot_work_is_refused(url: str) -> None:
    """One sentence, without a password."""
    with pytest.raises(SettingsError, match=r"manager\.url") as error:
        ingest_url(AgentConfiguration(manager=ManagerEndpoint(url=url)))
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://manager.shop.svc:8080", "http://manager.shop.svc:8080/api/v1/collections"),
        ("http://manager.shop.svc.cluster.local.", "http://manager.shop.svc.cluster.local./api/v1/collections"),
        ("http://[::1]:8080/", "http://[::1]:8080/api/v1/collections"),
        ("https://manager.example/prefix/?a#b", "https://manager.example/prefix/api/v1/collections"),
    ],
)
def test_url_is_normalised(url: str, expected: str) -> None:
    """Path prefixes stay; a query or a fragment is no part of it."""
    assert ingest_url(AgentConfiguration(manager=ManagerEndpoint(url=url))) == expected


def test_no_retry_after_is_beyond_its_limits() -> None:
    """Random headers: a wait within 0 and 300 s, or none."""
    chance = random.Random(3)  # noqa: S311
    words = [
        "Thu",
        ",",
        " ",
        "01",
        "Jan",
        "1970",
        "00:01:50",
        "GMT",
        "-0000",
        "99999",
        "\u0667",
        "1_0",
        "e",
        "\0",
        "+",
        "(",
    ]
    for _ in range(5000):
        value = "".join(chance.choice(words) for _ in range(chance.randrange(10)))
        seconds = retry_after_seconds(value, 100.0)
        assert seconds is None or 0 < seconds <= 300
    assert retry_after_seconds("\u0667", 0) is None
    assert retry_after_seconds("1_0", 0) is None
