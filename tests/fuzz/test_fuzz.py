"""Random requests and answers for some seconds each: no 500, no thread and no program that ends, bounded memory.

`PODSONAR_TEST_FUZZ_SECONDS=1800` for longer; the seed is printed, and is the time unless `PODSONAR_TEST_FUZZ_SEED`
names one.
"""

import os
import random
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import orjson
import pytest

from collector.directory.server import serve
from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from node_agent.attribution.directory_client import DirectoryClient
from podsonar.directory_answer import Query
from podsonar.errors import PodsonarError
from podsonar.json_gzip import pack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.acceptance.agent_process import free_port
from tests.collector.directory.test_server import GOOD, live_directory
from tests.delivery.test_hostile_peers import random_response
from tests.delivery.test_push_faults import raw_server
from tests.fuzz.random_requests import flipped, mutated, random_call, random_push
from tests.manager.conftest import database_of, postgresql_server
from tests.manager.fresh_database import fresh_id
from tests.manager.http.sockets import connect
from tests.manager.manager_process import MIB, ManagerProcess, manager_process
from tests.manager.shop import NODE_A, inventory
from tests.soak.soak import limit_mib

__all__ = ["postgresql_server"]
SECONDS = float(os.environ.get("PODSONAR_TEST_FUZZ_SECONDS", "10"))
PUSHES_PER_WINDOW = 2000  # a few hundred of them are batches; a window of a large cluster has some thousands
SEED = int(os.environ.get("PODSONAR_TEST_FUZZ_SEED", time.time_ns() % 10**9))

pytestmark = [pytest.mark.long, pytest.mark.timeout(SECONDS + 300)]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ManagerProcess]:
    """The program on each database, warm; afterwards it still works, and has never answered 500."""
    settings = {f"PODSONAR_QUOTA_{name}": "0" for name in ("BATCHES_PER_MINUTE", "BYTES_PER_MINUTE", "BYTES_PER_DAY")}
    with database_of(request, tmp_path) as database, manager_process(tmp_path, database, settings) as made:
        for number, body in enumerate((inventory(), NODE_A)):
            assert made.push(body, f"warm-{number}").status_code == 201
        assert made.get("/agents/lab/map")["services"]
        made.reset_peak()
        yield made
        assert made.process.poll() is None
        assert made.metric("podsonar_manager_internal_errors_total") == 0, made.log.read_text()[-4000:]
        assert made.memory("VmHWM") < limit_mib("manager") * MIB
        assert httpx.get(f"{made.url}/readyz", trust_env=False, timeout=30).status_code == 200


def until(seconds: float) -> Iterator[int]:
    """Numbers for so long."""
    deadline, number = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        yield number
        number += 1


def test_random_pushes_are_never_500_and_leave_every_read_working(manager: ManagerProcess) -> None:
    """Spoilt in values, JSON, gzip and head; what is stored of them breaks no map and no list."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    found: Counter[bytes] = Counter()
    for number in until(SECONDS):
        with connect(manager.url, 5, f"127.4.{number >> 8 & 255}.{number & 255}") as sock:
            try:
                sock.settimeout(0.5)  # a head or a length that lies waits for more
                sock.sendall(random_push(manager.token, dice, number // PUSHES_PER_WINDOW))
                found[sock.recv(65536)[9:12]] += 1
            except (ConnectionError, TimeoutError):
                found[b"end"] += 1
        if number % 50 == 0:
            for path in (
                "/agents/lab/map",
                "/agents/lab/connections",
                "/agents/lab/pods?all=true",
                "/agents/lab/windows",
            ):
                answer = httpx.get(
                    f"{manager.url}/api/v1{path}", headers={"X-API-Key": manager.key}, trust_env=False, timeout=30
                )
                assert answer.status_code == 200, (SEED, number, path, answer.text)
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201
    assert found[b"500"] == 0
    assert found[b"201"] > 0
    assert manager.push(NODE_A, fresh_id()).status_code == 201


def test_random_calls_of_the_api_are_never_500(manager: ManagerProcess) -> None:
    """Every operation, with any parameters and bodies, by a key that may do everything."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    with closing(Store(manager.database)) as store:
        key = create_token(store, "admin", "fuzz", 1, secrets.token_bytes).text()
    found: Counter[int] = Counter()
    with httpx.Client(trust_env=False, timeout=30, headers={"X-API-Key": key, "Connection": "close"}) as client:
        for _ in until(SECONDS):
            method, path, query, body = random_call(dice)
            content = body if method in ("POST", "PUT", "PATCH", "DELETE") else None
            headers = {"Content-Type": "application/json"}
            try:
                request = client.build_request(
                    method, manager.url + path, params=query, content=content, headers=headers
                )
            except (httpx.InvalidURL, ValueError):
                continue
            answer = client.send(request)
            found[answer.status_code] += 1
            case = (SEED, method, path, query, body)
            assert answer.status_code < 500 or answer.status_code in (501, 503), case
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201
    assert found[200] > 0


def test_random_questions_to_the_directory_are_never_500() -> None:
    """Whatever comes at its port, the next good question is answered."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    port = free_port()
    url, right = f"http://127.0.0.1:{port}", {"Authorization": "Token right"}
    others = set(threading.enumerate())
    server = serve(live_directory(), lambda: "right", f"127.0.0.1:{port}")
    found: Counter[int] = Counter()
    try:
        while not server.started:
            time.sleep(0.01)
        threads = set(threading.enumerate()) - others
        with httpx.Client(trust_env=False, timeout=30) as client:
            for _ in until(SECONDS):
                body = {"queries": [GOOD] * dice.randrange(3)}
                for _ in range(dice.randrange(4)):
                    body = mutated(body, dice)
                try:
                    raw = orjson.dumps(body)
                except TypeError:
                    raw = b"{}"
                raw = flipped(raw, dice) if dice.random() < 0.3 else raw
                found[client.post(f"{url}/v1/resolve", content=raw, headers=right).status_code] += 1
                if dice.random() < 0.05:
                    with connect(url, 5) as sock:
                        sock.sendall(dice.randbytes(dice.randrange(1, 2000)))
            answer = client.post(f"{url}/v1/resolve", json={"queries": [GOOD]}, headers=right)
        assert answer.status_code == 200, answer.text
        assert threads
        assert all(thread.is_alive() for thread in threads)
    finally:
        server.should_exit = True
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201
    assert found[500] == 0


def test_random_answers_of_a_manager_end_no_thread(tmp_path: Path) -> None:
    """Any status, header and body: the pusher's loop goes on, by no error that no step foresaw."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    answered: Counter[str] = Counter()

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(random_response(dice))

    listener, url = raw_server(answer)
    (tmp_path / "token").write_text("t" * 32)
    failures: list[str] = []
    settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
    token = TokenFile(str(tmp_path / "token"))
    with (
        closing(listener),
        closing(Spool(tmp_path / "spool")) as spool,
        closing(Pusher(settings, spool, token, on_failure=failures.append)) as pusher,
    ):
        for number in until(SECONDS):
            if spool.stats().batches < 5:
                spool.put(Batch(f"c-{number}", "connections", time.time_ns(), pack(NODE_A)))
            try:
                answered[pusher.step(2.0).code] += 1
            except OSError as error:  # as the loop takes it
                failures.append(str(error))
    print(f"seed {SEED}: {dict(answered)}")  # noqa: T201
    assert failures == []
    assert answered["201"] > 0


def test_random_answers_of_a_directory_are_answers_or_a_refusal(tmp_path: Path) -> None:
    """The agent takes what fits its questions, and calls all else unavailable; memory is bounded by its own limit."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    good = {"answers": [{"kind": "Pod", "uid": "u", "namespace": "n", "name": "p"}], "asOf": "2026-11-24T10:15:00Z"}
    found: Counter[str] = Counter()

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        body = good
        for _ in range(dice.randrange(4)):
            body = mutated(body, dice)
        try:
            raw = orjson.dumps(body)
        except TypeError:
            raw = b"[]"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        connection.sendall(random_response(dice) if dice.random() < 0.3 else head + raw)

    listener, url = raw_server(answer)
    client = DirectoryClient(url, lambda: "t" * 20, None)
    with closing(listener):
        for _ in until(SECONDS):
            try:
                found[client.ask([Query("10.0.0.1", 80, 1, 2)])[0].kind] += 1
            except PodsonarError as error:
                found[type(error).__name__] += 1
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201
    assert len(found) > 1
