"""Odd objects, records and counts: what is answered 201 never makes a read answer 500 (on both databases)."""

import copy
import gzip
import json
import secrets
from contextlib import closing
from typing import Any

import httpx
import orjson
import pytest

from manager.schema.push_schema import InventoryPart, read_batch
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import fresh_id
from tests.manager.shop import NODE_A, WINDOW, inventory, node, observed, pod, service

pytestmark = pytest.mark.long

BIG = 2**53 - 1
READS = (
    "",
    "/map",
    "/map?namespace=shop",
    "/windows",
    "/graph/nodes",
    "/graph/edges",
    "/connections",
    "/connections?limit=1&page=0",
    "/pods/uid-px/connections",
    "/discoveredservices?all=true",
    "/discoveredserviceconnections",
    "/pods?all=true",
    "/services?all=true",
    "/nodes?all=true",
)


def changed(item: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The object with one member replaced; `path` has a dot between names and numbers."""
    inner: Any = item
    *names, last = path.split(".")
    for name in names:
        inner = inner[int(name)] if isinstance(inner, list) else inner.setdefault(name, {})
    inner[last] = value
    return item


def odd_pod(path: str, value: Any) -> dict[str, Any]:
    """An inventory with a pod that has an odd member."""
    return inventory({"podList": [changed(pod("px", "10.1.1.99", "node-a", "x"), path, value)]})


def odd_service(path: str, value: Any) -> dict[str, Any]:
    """An inventory with a Service that has an odd member, and a pod behind it."""
    made = changed(service("sx", 80, 80, "x", "10.96.0.99"), path, value)
    return inventory({"serviceList": [made], "podList": [pod("px", "10.1.1.99", "node-a", "x")]})


def odd_counts(**counts: Any) -> dict[str, Any]:
    """A connections body with odd counts."""
    body = observed("node-a", copy.deepcopy(NODE_A["connectionList"]), NODE_A["acceptedList"])
    body["observation"].update(counts)
    return body


def odd_record(repeat: int = 1, **members: Any) -> dict[str, Any]:
    """A connections body with odd records."""
    return observed("node-a", [copy.deepcopy(NODE_A["connectionList"][2]) | members] * repeat, [])


def many_edges(count: int, **members: Any) -> dict[str, Any]:
    """A connections body with so many records of one pod, each of another port."""
    record = copy.deepcopy(NODE_A["connectionList"][2]) | members
    return observed("node-a", [record | {"destinationPort": str(port)} for port in range(1, count + 1)], [])


def odd_end(repeat: int = 1, **members: Any) -> dict[str, Any]:
    """A connections body with odd accepted records."""
    return observed("node-a", [], [copy.deepcopy(NODE_A["acceptedList"][0]) | members] * repeat)


OWNER = {"kind": "ReplicaSet", "name": "a", "uid": "r1", "controller": True}
OF_POD = {"sourcePod": {"uid": "uid-px"}, "destinationPod": {"uid": "uid-px"}}
OF_SERVICE = {"sourcePod": {"uid": "uid-px"}, "destinationService": {"uid": "uid-svc-sx"}}
LARGEST_VOLUME = {
    **dict.fromkeys(("sentBytes", "receivedBytes", "retransmittedSegments", "resets"), BIG),
    "openSeconds": 1e308,
    "rttSeconds": {"count": BIG, "sum": 1e308, "max": 1e308, "histogram": [BIG] * 16},
}
DEEP: Any = orjson.loads("[" * 28 + "]" * 28)
ODD: list[Any] = [
    5,
    1.5,
    "text",
    True,
    [],
    {},
    [5],
    [[]],
    [{}],
    {"a": []},
    "",
    None,
    -1,
    2**63,
    "\x00",
    "\x1b[2J",
    "x" * 5000,
]

ODD_PATHS = {
    "pod": (
        *("metadata.labels", "metadata.labels.app", "metadata.ownerReferences", "metadata.annotations"),
        *("metadata.resourceVersion", "metadata.creationTimestamp", "spec", "status", "kind", "apiVersion"),
        *("spec.containers", "spec.nodeName", "spec.hostNetwork", "status.podIPs", "status.podIP", "status.phase"),
    ),
    "service": (
        *("spec.selector", "spec.selector.app", "spec.ports", "spec.clusterIPs", "spec.clusterIP", "spec.externalIPs"),
        *("spec.ports.0.port", "spec.ports.0.targetPort", "spec.ports.0.nodePort", "spec.type"),
    ),
    "node": ("spec.podCIDRs", "spec.podCIDR", "status.addresses", "status.addresses.0.address"),
}


def odd_objects(key: str, path: str) -> dict[str, Any]:
    """An inventory with an object per odd value of one member, and a pod and a Service beside them."""
    lists: dict[str, Any] = {
        "podList": [pod("px", "10.1.1.99", "node-a", "x")],
        "serviceList": [service("sx", 80, 80, "x", "10.96.0.99")],
        "nodeList": [node("nx", "192.0.2.9", "10.1.9.0/24")],
    }
    for number, value in enumerate(ODD):
        made = copy.deepcopy(lists[f"{key}List"][0])
        made["metadata"] |= {"uid": f"uid-{number}", "name": f"odd-{number}"}
        lists[f"{key}List"].append(changed(made, path, value))
    return inventory(lists)


CASES: dict[str, list[dict[str, Any]]] = {
    "zero time of Go": [odd_pod("metadata.creationTimestamp", "0001-01-01T00:00:00Z")],
    "time of the year 1600": [odd_pod("metadata.creationTimestamp", "1600-01-01T00:00:00Z")],
    "time before any calendar": [odd_pod("metadata.creationTimestamp", "0001-01-01T00:00:00+23:59")],
    "time of the year 9999": [odd_pod("metadata.creationTimestamp", "9999-12-31T23:59:59Z")],
    "time in other digits": [odd_pod("metadata.creationTimestamp", "\uff12\uff10\uff12\uff16-01-01T00:00:00Z")],
    "node name is an object, and flows": [odd_pod("spec.nodeName", {"a": 1}), odd_record(kubernetes=OF_POD)],
    "node name is a list, and ends": [odd_pod("spec.nodeName", ["a"]), odd_end(remoteIP="10.1.1.99")],
    "port is an object, and flows": [
        odd_service("spec.ports", [{"port": {}, "targetPort": []}]),
        odd_record(kubernetes=OF_SERVICE, destinationPort="80"),
    ],
    "target port is a list, and flows": [
        odd_service("spec.ports", [{"port": 80, "targetPort": []}]),
        odd_record(kubernetes=OF_SERVICE, destinationPort="80"),
    ],
    "owner loop": [
        inventory(
            {
                "podList": [changed(pod("px", "10.1.1.99", "node-a", "x"), "metadata.ownerReferences", [OWNER])],
                "replicaSetList": [
                    {"kind": "ReplicaSet", "metadata": {"uid": "r1", "name": "a", "ownerReferences": [OWNER]}}
                ],
            }
        )
    ],
    "same UID in two kinds": [
        inventory(
            {
                "podList": [pod("px", "10.1.1.1", "node-a", "x")],
                "serviceList": [service("px", 80, 80, "x", "10.96.0.1")],
            }
        )
    ],
    "same UID twice": [inventory({"podList": [pod("px", "10.1.1.1", "node-a", "x")] * 2})],
    "unknown kinds": [
        inventory({}, kinds={"Secret": {"complete": True}, "'; DROP": {"complete": True}, "x" * 5000: {"reason": "y"}})
    ],
    "largest counts": [odd_record(5, attempts=BIG, established=BIG, failed=BIG)],
    "largest accepted": [odd_end(5, accepted=BIG)],
    "largest counts of many edges": [many_edges(3000, attempts=BIG, established=BIG, failed=BIG)],
    "largest losses": [odd_counts(lost={f"l{n}": BIG for n in range(20)})],
    "longest handshakes": [odd_record(5, handshakeSeconds={"sum": 1e300, "max": 1e300})],
    "handshakes before their begin": [odd_record(5, handshakeSeconds={"sum": -1e300, "max": -1e300})],
    "handshakes whose sum is no number any more": [odd_record(5, handshakeSeconds={"sum": 1e308, "max": 1e308})],
    "largest volumes": [odd_record(5, volume=LARGEST_VOLUME), odd_end(5, volume=LARGEST_VOLUME)],
    "largest sums": [odd_counts(attempts=BIG), odd_counts(attempts=BIG), odd_counts(attempts=2**64 - 1)],
    "counts of mixed types": [odd_counts(lost={"a": 1}), odd_counts(lost=5), odd_counts(lost={"a": {"b": 1}})],
    "unknown counts of mixed types": [odd_counts(new={"a": 1}), odd_counts(new=5), odd_counts(new={"a": {"b": 1}})],
    "deep count": [odd_counts(x=DEEP)],
    "many counts": [odd_counts(**{f"c{n}": {f"r{m}": m for m in range(100)} for n in range(20)})],
    "port 00000": [odd_record(destinationPort="00000")],
    "no address": [odd_record(sourceIP="not an address", destinationIP="<script>")],
    "long names": [odd_record(kubernetes={"sourcePod": {"uid": "u" * 316, "name": "n" * 316, "namespace": "s" * 316}})],
    "empty UID": [odd_record(kubernetes={"sourcePod": {"uid": ""}})],
    "unknown kind of destination": [odd_record(destination={"kind": "Banana", "reason": "x" * 4096})],
    "empty node name": [observed("", NODE_A["connectionList"], [])],
    "window of 50 years": [odd_record() | {"window": {"start": "1970-01-01T00:00:00Z", "end": WINDOW["end"]}}],
    "port without a host port's target": [odd_pod("spec.containers", [{"ports": [{"hostPort": 80}]}])],
    **{
        f"{path} of a {key}": [odd_objects(key, path), odd_record(kubernetes=OF_POD)]
        for key, paths in ODD_PATHS.items()
        for path in paths
    },
    **{
        f"count {name}": [odd_counts(**{name: value}) for value in [*ODD, "x", {"a": 1}, 7]]
        for name in ("gap", "observed", "ownPod", "tracer", "lost", "accepted", "openedBefore", "attempts")
    },
}


def new_agent(standing: Running) -> tuple[str, str]:
    """An agent that nobody has used, and its token."""
    name = fresh_id()
    with closing(Store(standing.database)) as store:
        return name, create_token(store, "ingest", name, 1, secrets.token_bytes).text()


def push_as(standing: Running, token: str, body: dict[str, Any]) -> httpx.Response:
    """A push of another agent; numbers may be larger than orjson writes."""
    packed = gzip.compress(json.dumps(body).encode(), 1)
    return standing.push(packed, fresh_id(), Authorization=f"Token {token}")


def get(standing: Running, path: str) -> httpx.Response:
    """The answer to a read."""
    return CLIENT.get(f"{standing.url}/api/v1{path}", headers={"X-API-Key": standing.key})


def test_no_stored_batch_breaks_a_read(standing: Running) -> None:
    """Every odd body of an agent is stored without what does not fit, or refused; all of its reads answer."""
    broken = []
    for name, bodies in CASES.items():
        agent, token = new_agent(standing)
        answers = [push_as(standing, token, body) for body in bodies]
        broken += [f"{name}: push {answer.status_code}" for answer in answers if answer.status_code not in (201, 400)]
        reads = {read: get(standing, f"/agents/{agent}{read}") for read in READS}
        broken += [
            f"{name}: {read} {answer.status_code}" for read, answer in reads.items() if answer.status_code != 200
        ]
    assert broken == []


@pytest.mark.parametrize(
    ("pods", "names", "counted"),
    [
        ([{"metadata": {"name": "x"}}, "good"], ["good"], {"no_identity": 1}),
        ([{"metadata": None}, {"metadata": []}, {}, "good"], ["good"], {"no_identity": 3}),
        ([{"x": orjson.loads("[" * 40 + "]" * 40)}, 5, [], "good"], ["good"], {"malformed": 1, "no_identity": 2}),
        ([{"metadata": {"name": "x", "uid": "u"}, "x": "y" * (2 << 20)}, "good"], ["good"], {"too_large": 1}),
    ],
)
def test_object_that_cannot_be_stored_is_rejected_alone(
    pods: list[Any], names: list[str], counted: dict[str, int]
) -> None:
    """Without identity, too deep or too large: counted by reason; the object beside it is in the batch."""
    given = [pod("good", "10.1.1.1", "node-a", "x") if one == "good" else one for one in pods]
    batch = read_batch(orjson.dumps(inventory({"podList": given})))
    assert isinstance(batch, InventoryPart)
    assert [item["metadata"]["name"] for item in batch.objects["Pod"]] == names
    assert batch.rejected.objects == counted


@pytest.mark.parametrize("text", [b"core \\u0000 dumped", b"\xff", b"\xed\xa0\x80"])
def test_odd_text_costs_at_most_its_object(text: bytes) -> None:
    """NUL becomes U+FFFD and is counted; what is not UTF-8 rejects its object alone."""
    item = orjson.dumps(pod("odd", "10.1.1.1", "node-a", "x")).replace(b'"Running"', b'"' + text + b'"')
    body = orjson.dumps(inventory({"podList": [pod("good", "10.1.1.1", "node-a", "x")]}))
    batch = read_batch(body.replace(b'"podList":[', b'"podList":[' + item + b","))
    assert isinstance(batch, InventoryPart)
    kept = [(one["metadata"]["name"], one["status"]["phase"]) for one in batch.objects["Pod"]]
    nul = text.startswith(b"core")
    assert kept == [("odd", "core \ufffd dumped"), ("good", "Running")] if nul else [("good", "Running")]
    assert (batch.rejected.characters, batch.rejected.objects) == ((1, {}) if nul else (0, {"malformed": 1}))


def test_part_of_a_whole_inventory_that_comes_again_changes_nothing(running: Running) -> None:
    """Under another batch id a part of a complete inventory is stale; the inventory stays complete."""
    parts = [inventory(part=1, parts=2), inventory({}, part=2, parts=2)]
    for place, body in enumerate(parts):
        assert running.push(body, f"b-{place}").json()["stale"] is False
    assert running.push(parts[0], "b-again").json()["stale"] is True
    assert running.get("/agents/lab")["inventory"]["state"] == "complete"
