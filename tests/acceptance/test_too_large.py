"""A batch that the manager rejects as too large is split until it fits, and the map does not change."""

import resource
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.split_batch import split_batch
from delivery.spool import Spool
from delivery.token_file import TokenFile
from manager.http.body_limits import PushLimits
from manager.server import serving
from podsonar.json_gzip import pack, unpack
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from tests.manager.fresh_database import migrated
from tests.manager.shop import NODE_A, NODE_B, connection, inventory, observed, taken

MANY = 300
COUNTS = {"gap": "started_late", "ownPod": "uid-agent", "accepted": {"counted": 3, "filtered": {"loopback": 2}}}


def crowded() -> dict[str, Any]:
    """The observations of a busy node: many flows that do not compress into one, and its accepted flows."""
    flows = [
        connection("load-1", "10.1.2.40", f"2001:db8::{secrets.token_hex(2)}:{n:x}", 443, n=n + 1) for n in range(MANY)
    ]
    body = observed("node-b", flows + NODE_B["connectionList"], NODE_B["acceptedList"])
    return body | {"observation": {**body["observation"], **COUNTS}}


class Delivered:
    """A cluster's inventory and two nodes' batches, pushed by a real pusher to a manager with limits."""

    def __init__(self, folder: Path, bodies: list[dict[str, Any]], limits: PushLimits) -> None:
        folder.mkdir()
        database = f"sqlite:///{folder}/manager.db"
        token, key = migrated(database)
        (folder / "token").write_text(token)
        self.lost: list[tuple[str, str, int]] = []
        self.codes: list[str] = []
        spool = Spool(folder / "spool", on_dropped=lambda *outcome: self.lost.append(outcome))
        for number, body in enumerate(bodies):
            kind = "inventory" if "inventory" in body else "connections"
            events = body.get("observation", {}).get("delivered", 0)
            spool.put(Batch(f"{kind[0]}-{number}", kind, 1 << 62, pack(body), events))
        with serving(database, limits=limits) as url:
            settings = AgentConfiguration(manager=ManagerEndpoint(url=url))
            pusher = Pusher(
                settings, spool, TokenFile(str(folder / "token")), lambda outcome: self.codes.append(outcome.code)
            )
            while pusher.step().code != "idle":
                assert len(self.codes) < 200, self.codes
            pusher.close()
            answer = httpx.get(f"{url}/api/v1/agents/lab/map", headers={"X-API-Key": key}, timeout=30, trust_env=False)
            self.map = answer.json()


def test_row_45_halves_give_the_same_map_as_the_whole(tmp_path: Path) -> None:
    """Edges, counts, recall and coverage are the same; each record is stored once, and nothing is dropped."""
    bodies = [inventory(), NODE_A, crowded()]
    whole = Delivered(tmp_path / "whole", bodies, PushLimits())
    halved = Delivered(tmp_path / "halved", bodies, PushLimits(compressed_bytes=1500))
    assert whole.codes == ["201"] * 3 + ["idle"]
    assert halved.codes.count("413") >= 3
    assert halved.map == whole.map
    assert len(whole.map["edges"]) > MANY
    assert (halved.lost, whole.lost) == ([], [])


def test_row_45_what_has_no_halves_is_set_aside_and_the_rest_goes_on(tmp_path: Path) -> None:
    """One record, or inventory part, that is too large alone: quarantined and counted, and the next batch is sent."""
    huge = connection("load-1", "10.1.2.40", "203.0.113.9", 443, n=3) | {"note": secrets.token_hex(4000)}
    bodies = [inventory({"podList": []}), observed("node-b", [huge], []), NODE_A]
    found = Delivered(tmp_path / "huge", bodies, PushLimits(compressed_bytes=3000))
    assert found.codes == ["201", "413", "201", "idle"]
    assert found.lost == [("rejected", "c-1", 3)]


def test_batch_that_cannot_be_split_on_a_full_disk_waits(tmp_path: Path) -> None:
    """The spool accepts no file: the batch stays, is retried, and is split once there is room."""
    (tmp_path / "token").write_text("t" * 32)
    spool = Spool(tmp_path / "spool")
    spool.put(Batch("c-1", "connections", 1 << 62, pack(crowded())))
    pusher = Pusher(AgentConfiguration(), spool, TokenFile(str(tmp_path / "token")))
    batch = spool.oldest()
    assert batch is not None
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # no file of this process grows beyond 2,000 bytes
    try:
        assert 0 <= pusher.handle_status(batch, 413, None) <= 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.oldest() == batch
    assert pusher.handle_status(batch, 413, None) == 0
    assert [path.stem.partition("-")[2] for path in spool.paths()] == ["c-1.0", "c-1.1"]
    pusher.close()
    spool.close()


@pytest.mark.parametrize(("connections", "accepted"), [(2, 0), (0, 2), (1, 1), (5, 0), (3, 4), (0, 7), (1, 6)])
def test_halves_hold_every_record_once_and_every_count_once(connections: int, accepted: int) -> None:
    """For any lists: the halves joined are the whole, and only the first half carries the counts."""
    flows = [connection("load-1", "10.1.2.40", "203.0.113.9", n + 1, n=n + 1) for n in range(connections)]
    taken_flows = [taken("db-1", "10.1.2.30", n + 1, "10.1.2.40", 1) for n in range(accepted)]
    body = observed("node-b", flows, taken_flows)
    body["observation"] |= COUNTS | {"scan": [{"end": "source", "ports": "0-1023", "attempts": 5}]}
    batch = Batch("c-1-x", "connections", 7, pack(body), body["observation"]["delivered"])
    two = split_batch(batch)
    assert two is not None
    first, second = (unpack(one.payload) for one in two)
    for name in ("connectionList", "acceptedList"):
        assert first[name] + second[name] == body[name]
    assert all(one["connectionList"] or one["acceptedList"] for one in (first, second))
    assert first["observation"] == body["observation"]
    assert second["observation"] == {
        "tracer": "bcc:raw_tracepoint",
        "identity": "cgroup",
        "gap": "started_late",
        "ownPod": "uid-agent",
    }
    assert [one.id for one in two] == ["c-1-x.0", "c-1-x.1"]
    assert sum(one.events for one in two) == batch.events
    assert {one.created_ns for one in two} == {7}
