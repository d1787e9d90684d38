"""Small pushes that would become large: what a push costs is bounded by limits and never by its sender."""

import gzip
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from manager.schema.gunzip import BadBodyError, TooLargeError, inflate
from manager.schema.push_schema import read_batch
from tests.manager.fresh_database import fresh_id
from tests.manager.manager_process import MIB, ManagerProcess, manager_process
from tests.manager.shop import NODE_A, WINDOW, connection, inventory, pod

pytestmark = pytest.mark.long

LIMIT = 32 * MIB
MOST_KEPT_MIB = 64
BASE = orjson.dumps(NODE_A)[:-1]
HEAD = BASE[: BASE.index(b'"connectionList"')]
EMPTY = orjson.dumps({"nodeName": "a", "window": WINDOW, "connectionList": []})[:-1]
INVENTORY = orjson.dumps(inventory())[:-1]
SMALL_RECORD = b'{"sourceIP":"a","destinationIP":"b","destinationPort":"1","kubernetes":{"sourcePod":{"uid":"u"}}}'


def filled(before: bytes, unit: bytes, after: bytes) -> bytes:
    """A body of nearly 32 MiB: `unit` as often as it fits, with commas between."""
    room = LIMIT - len(before) - len(after) - 64
    return before + b",".join([unit] * (room // (len(unit) + 1))) + after


BOMBS: dict[str, tuple[Callable[[], bytes], int]] = {  # built when needed: each is 32 MiB
    "lists in an unknown member": (lambda: filled(BASE + b',"x":[', b"[]", b"]}"), 413),
    "objects in an unknown member": (lambda: filled(BASE + b',"x":[', b"{}", b"]}"), 413),
    "numbers in an unknown member": (lambda: filled(BASE + b',"x":[', b"1", b"]}"), 201),
    "texts in an unknown member": (lambda: filled(BASE + b',"x":[', b'"a"', b"]}"), 201),
    "keys of an unknown member": (
        lambda: BASE + b',"x":{' + b",".join(b'"%d":1' % n for n in range(2_500_000)) + b"}}",
        201,
    ),
    "escaped backslashes before a NUL": (lambda: BASE + b',"x":"' + b"\\\\" * 15_000_000 + b'\\u0000"}', 201),
    "escaped backslashes before u0000": (lambda: BASE + b',"x":"' + b"\\\\u0000" * 4_000_000 + b'"}', 201),
    "quoted brackets": (lambda: filled(BASE + b',"x":[', b'"["', b"]}"), 413),
    "blanks": (lambda: b" " * (LIMIT - len(BASE) - 2) + BASE + b"}", 201),
    "smallest records": (lambda: filled(HEAD + b'"connectionList":[', SMALL_RECORD, b"]}"), 413),
    "most records": (lambda: HEAD + b'"connectionList":[' + b",".join([SMALL_RECORD] * 99_000) + b"]}",
        201,
    ),
    "numbers as records": (lambda: filled(HEAD + b'"connectionList":[', b"1", b"]}"), 400),
    "objects as pods": (lambda: filled(b'{"podList":[', b"{}", b"]," + INVENTORY[1:] + b"}"), 413),
    "numbers as pods": (lambda: filled(b'{"podList":[', b"1", b"]," + INVENTORY[1:] + b"}"), 400),
    "lists in a pod": (lambda: filled(b'{"podList":[{"x":[', b"[]", b"]}]," + INVENTORY[1:] + b"}"), 413),
    "texts in a pod": (lambda: filled(b'{"podList":[{"x":[', b'"a"', b"]}]," + INVENTORY[1:] + b"}"), 201),
    "deep lists": (lambda: BASE + b',"x":' + b"[" * 400_000 + b"]" * 400_000 + b"}", 400),
    "observation": (lambda: filled(b'{"observation":{"x":[', b"1", b"]}," + BASE[1:] + b"}"), 201),
    "only an observation": (lambda: filled(EMPTY + b',"observation":{"x":[', b"1", b"]}}"), 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """A manager for all bombs."""
    with manager_process(tmp_path_factory.mktemp("bombs")) as made:
        assert made.push(inventory(), "warm-up").status_code == 201
        assert made.push(NODE_A, "warm-up-2").status_code == 201
        yield made


@pytest.mark.parametrize("name", BOMBS)
def test_push_costs_at_most_128_mib(standing: ManagerProcess, name: str) -> None:
    """A body of 32 MiB once inflated, whatever is in it, takes at most 128 MiB above idle; the manager goes on."""
    make, status = BOMBS[name]
    body = make()
    standing.reset_peak()
    idle, cpu = standing.memory("VmRSS"), standing.cpu_seconds()
    packed = gzip.compress(body, 1)
    answer = standing.push(packed, fresh_id())
    grown = (standing.memory("VmHWM") - idle) / MIB
    print(f"{name}: {answer.status_code}, +{grown:.0f} MiB, {standing.cpu_seconds() - cpu:.2f} s of CPU")  # noqa: T201
    assert answer.status_code == (413 if len(body) > 200 * len(packed) else status), answer.text
    assert grown <= 128
    assert standing.push(NODE_A, fresh_id()).status_code == 201


def test_memory_comes_back_whichever_threads_have_read_the_pushes(tmp_path: Path) -> None:
    """Sixteen at a time, so that many threads read: what one of them has needed is not kept for each."""
    packed = [gzip.compress(BOMBS[name][0](), 1) for name in ("lists in a pod", "most records", "objects as pods")]
    with manager_process(tmp_path) as made:
        assert made.push(inventory(), "warm-up").status_code == 201
        for body in packed:
            made.push(body, fresh_id())
        once = made.memory("VmRSS")
        with ThreadPoolExecutor(16) as senders:
            for answer in [senders.submit(made.push, body, fresh_id()) for body in packed * 16]:
                answer.result()
        deadline = time.monotonic() + 30
        while (grown := (made.memory("VmRSS") - once) / MIB) > MOST_KEPT_MIB and time.monotonic() < deadline:
            time.sleep(0.1)  # maps are made of what came
    print(f"+{grown:.0f} MiB after 48 pushes")  # noqa: T201
    assert grown <= MOST_KEPT_MIB


@pytest.mark.parametrize("name", BOMBS)
def test_body_past_the_ratio_guard_costs_no_more(standing: ManagerProcess, name: str) -> None:
    """The same bodies as a sender packs them that stays below 200:1: a stored block of noise beside each."""
    make, status = BOMBS[name]
    body = make()
    noise = b',"noise":"' + bytes(97 + (n * 7919 >> 3) % 26 for n in range(200_000)) + b'"}'
    packed = gzip.compress(body[:-1], 6) + gzip.compress(noise, 0)
    if len(body) + len(noise) > LIMIT:
        packed = gzip.compress(body, 6)
    standing.reset_peak()
    idle = standing.memory("VmRSS")
    answer = standing.push(packed, fresh_id())
    assert answer.status_code in {status, 413}
    assert (standing.memory("VmHWM") - idle) / MIB <= 128


def test_member_count_is_bounded() -> None:
    """8 MiB of empty gzip members are refused after 256 of them; as many as the collector writes pass."""
    empty = gzip.compress(b"")
    with pytest.raises(BadBodyError, match="more than 256 members"):
        inflate(empty * (8 * MIB // len(empty)), LIMIT)
    assert inflate(gzip.compress(b"a") * 256, LIMIT) == b"a" * 256


@pytest.mark.parametrize("size", [2, 16, 31])
def test_ratio_is_bounded(size: int) -> None:
    """Blanks that inflate 1000:1 are refused once they are more than 200:1 beyond a MiB; a small body may be blank."""
    with pytest.raises(TooLargeError, match="200 times"):
        inflate(gzip.compress(b" " * (size * MIB)), LIMIT)
    assert len(inflate(gzip.compress(b" " * MIB), LIMIT)) == MIB


def test_members_are_inflated_wherever_they_meet() -> None:
    """Members shorter and longer than a step, an empty one among them, and one that ends with a step."""
    parts = [b"", b"a" * 70_000, bytes(range(256)) * 900, b"x", b"", b"y" * 65_536]
    assert inflate(b"".join(map(gzip.compress, parts)), LIMIT) == b"".join(parts)


def test_honest_batch_is_far_below_the_limits() -> None:
    """As many connections as 32 MiB hold are one batch."""
    flows = [connection(f"s-{n}", "10.0.0.1", "10.96.0.1", n % 60000 + 1, n=n, service="cart") for n in range(50_000)]
    body = orjson.dumps(NODE_A | {"connectionList": flows})
    assert len(body) < LIMIT
    batch = read_batch(inflate(gzip.compress(body), LIMIT))
    assert batch.connections.total == 50_000  # type: ignore[union-attr]


def test_honest_inventory_is_far_below_the_limits() -> None:
    """2,000 pods with a large annotation each are one part."""
    pods = [pod(f"p-{n}", "10.1.1.1", "node-a", "x") for n in range(2_000)]
    for number, made in enumerate(pods):
        made["metadata"]["annotations"] = {"note": f"{number}" + "{[" * 50 + "x" * 5000}
    batch = read_batch(orjson.dumps(inventory({"podList": pods})))
    assert len(batch.objects["Pod"]) == 2_000  # type: ignore[union-attr]
