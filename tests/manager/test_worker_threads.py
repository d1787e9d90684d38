"""manager/worker_threads.py: an error of a thread keeps no body in memory until Python's garbage collector runs."""

import gc
import gzip
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from weakref import ref

import anyio
import httpx
import orjson
import pytest

from manager.worker_threads import run_in_thread
from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import fresh_id
from tests.manager.shop import NODE_A

BATCH = orjson.dumps(NODE_A)[:-1]
NUMBERS = b"[1,2,3]"


class Held:
    """What a function is given."""


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Nothing but references frees memory."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def fail(held: Held) -> None:
    """Raise an error whose traceback knows `held`, as does that of its cause."""
    try:
        int(str(held))
    except ValueError as error:
        raise LookupError(str(held)) from error


def push(running: Running, body: bytes) -> httpx.Response:
    """Push as an agent."""
    return running.push(gzip.compress(body), fresh_id())


def push_twice(running: Running, body: bytes) -> httpx.Response:
    """Push another body by the id of one that is stored."""
    batch = fresh_id()
    assert running.push(NODE_A, batch).status_code == 201
    return running.push(gzip.compress(body), batch)


def post(running: Running, path: str, body: bytes) -> httpx.Response:
    """Send as a delegate or a runner does, whose token this is not."""
    return CLIENT.post(f"{running.url}{path}", content=body, headers={"Authorization": f"Token {running.token}"})


REFUSED: dict[str, tuple[Callable[[Running, bytes], httpx.Response], bytes, int]] = {
    "no batch": (push, NUMBERS, 400),
    "no JSON": (push, NUMBERS[:-1], 400),
    "a record of a wrong type": (push, BATCH.replace(b'"connectionList":[', b'"connectionList":[1,') + b"}", 400),
    "no gzip at its end": (lambda running, body: running.push(gzip.compress(body)[:-9], fresh_id()), NUMBERS, 400),
    "too large": (push, b" " * (64 << 20) + b"1", 413),
    "a batch's id with another body": (push_twice, BATCH + b',"x":' + NUMBERS + b"}", 409),
    "no delegate": (lambda running, body: post(running, "/v1/delegates/poll", body), NUMBERS, 401),
}


@pytest.mark.usefixtures("no_collection")
def test_error_holds_no_argument() -> None:
    """Once it is handled, it is gone with what the function was given."""

    async def run() -> ref[Held]:
        held = Held()
        with suppress(LookupError):
            await run_in_thread(fail, held)
        return ref(held)

    held = anyio.run(run)
    deadline = time.monotonic() + 30
    while held() is not None and time.monotonic() < deadline:
        time.sleep(0.01)  # the thread drops what it was given when its outcome is on its way
    assert held() is None


def test_error_says_where_it_was_raised() -> None:
    """As does the one that led to it; their functions hold nothing any more."""
    with pytest.raises(LookupError, match="Held object") as found:
        anyio.run(run_in_thread, fail, Held())
    cause = found.value.__cause__
    assert cause is not None
    for error in (found.value, cause):
        *_, (frame, line) = traceback.walk_tb(error.__traceback__)
        assert (frame.f_code.co_name, frame.f_locals) == ("fail", {})
        assert line > frame.f_code.co_firstlineno


def test_errors_that_led_to_each_other_come_back() -> None:
    """Each is the other's cause: neither way is followed twice."""

    def fail_in_a_circle() -> None:
        first, second = LookupError("first"), ValueError("second")
        second.__cause__ = first
        raise first from second

    with pytest.raises(LookupError, match="first"):
        anyio.run(run_in_thread, fail_in_a_circle)


def test_result_comes_back() -> None:
    """With the arguments in their order, and a tuple as a tuple."""
    assert anyio.run(run_in_thread, divmod, 17, 5) == (3, 2)


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_body_is_freed(standing: Running, kind: str) -> None:
    """No call of the manager, and nothing that it held, waits for the collector."""
    send, body, status = REFUSED[kind]
    assert send(standing, body).status_code == status
    time.sleep(0.5)  # the answer is sent before its last call has ended
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    left = [one.f_code.co_qualname for one in gc.garbage if isinstance(one, FrameType)]
    assert not left
