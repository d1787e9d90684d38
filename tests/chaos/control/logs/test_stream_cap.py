"""A stream is full at 64 MiB: what came first is kept, what came after is counted and reported, other streams go on."""

import gzip

import orjson
import pytest

from manager.store.logs.lines import STREAM_BYTES
from tests.chaos.conftest import Manager

PER_REQUEST, LONG = 2000, 7000
MIB = 1 << 20


def body(first: int, number: int = PER_REQUEST) -> bytes:
    """A gzipped request of long lines."""
    lines = [
        {"level": "info", "pos": pos, "out": f"{pos} {'x' * LONG}", "time": ""} for pos in range(first, first + number)
    ]
    return gzip.compress(orjson.dumps(lines), 1)


@pytest.mark.timeout(300)
def test_full_stream_counts_what_it_does_not_keep_and_says_so(manager: Manager, key: str) -> None:
    """Kept and not kept add up to what was sent; the last line of blob and tail says it; again changes nothing."""
    zipped = {"headers": {"Content-Encoding": "gzip"}}
    requests = STREAM_BYTES // (PER_REQUEST * LONG) + 2
    for number in range(requests):
        assert manager.log("PUT", "/stream", key, body(1 + number * PER_REQUEST), **zipped).status_code == 204
    sent = requests * PER_REQUEST
    info = manager.info(key)
    kept = info["lines"]
    assert (kept + info["notKept"], info["notKept"] > 0, info["duplicates"]) == (sent, True, 0)
    assert STREAM_BYTES - 2 * LONG < info["bytes"] <= STREAM_BYTES
    assert info["bytes"] + info["notKeptBytes"] > sent * LONG
    assert (info["firstPos"], info["lastPos"], info["gaps"]) == (1, kept, [])
    part = kept // PER_REQUEST * PER_REQUEST  # the request of which a part was kept
    assert manager.log("PUT", "/stream", key, body(1 + part), **zipped).status_code == 204
    assert manager.info(key) == info | {"duplicates": PER_REQUEST}
    assert manager.log("PUT", "/stream", f"{key}-other", body(1, 1), **zipped).status_code == 204
    assert manager.info(f"{key}-other")["lines"] == 1
    said = f"podsonar: {info['notKept']} lines ({info['notKeptBytes']} bytes) were not kept: the stream is full"
    read = manager.lines(key)
    assert [one["pos"] for one in read] == [*range(1, kept + 1), 0]
    assert (read[-1]["level"], read[-1]["out"]) == ("warn", said)
    assert manager.log("DELETE", "/stream", key).status_code == 204
    tail = manager.log("GET", "/stream", key, query={"lastEventId": str(kept - 1)}).text
    events = [orjson.loads(row[6:]) for row in tail.splitlines() if row.startswith("data: {")]
    assert [one["out"].partition(" x")[0] for one in events] == [str(kept), said]
