"""Histories of addresses (`address_history`) among tenants that lie, for an observer that stalls.

A tenant may write annotations, endpoint slices, services with any external address, grace periods and owner references;
a node reports static pods; some objects show times that cannot be read. What a service's external address takes from a
pod, it takes in truth: kube-proxy sends its port to the service. The observer reads events late, at times much later,
and knows no more than what a probe proves; questions are asked while it reads, each about a time that counts as final.
"""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from directory.interval import FINAL_AFTER_NS, SECOND
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.timestamp import rfc3339
from tests.directory.address_history import BEGIN_NS, LENGTH_NS, POOL, STREAM_NS, AddressHistory, history

STALL_NS = 60 * SECOND
CENTURIES = 20_000_000_000  # seconds
HASHES = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210")
NODES = ("n1", "n2", "n3")
PORTS = (80, 8080)
ODD_TIMES = (None, "", "soon", 7, "9999-99-99T00:00:00Z", ["2026-01-01T00:00:00Z"])


@dataclass(frozen=True)
class Lie:
    """The truth of a service with somebody's address as its external one."""

    uid: str
    address: str
    port: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, order=True)
class Event:
    """One change of the API server, by its time."""

    at_ns: int
    number: int
    kind: str = field(compare=False)
    obj: dict[str, Any] = field(compare=False)
    deleted: bool = field(compare=False, default=False)


@dataclass
class TenantScore:
    """How many questions were answered with a name, with none, and wrongly."""

    named: int = 0
    honest: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class TenantCluster:
    """A history, its lies, and what its static pods are."""

    made: AddressHistory
    chance: random.Random
    events: list[Event] = field(default_factory=list)
    lies: list[Lie] = field(default_factory=list)
    mirrors: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, at_ns: int, kind: str, obj: dict[str, Any], *, deleted: bool = False) -> None:
        """The API server has an object from then on."""
        self.events.append(Event(at_ns, len(self.events), kind, obj, deleted))

    def upto(self, limit: int) -> int:
        """A number of at most that."""
        return self.chance.randrange(limit + 1)


def cluster(seed: int) -> TenantCluster:
    """A random cluster: nodes, the history's pods with what tenants write into them, decoys, slices and services."""
    world = TenantCluster(history(seed), random.Random(seed))  # noqa: S311 - no secret
    world.made.held = [replace(held, uid=api_uid(held.uid)) for held in world.made.held]
    for number, node in enumerate(NODES):
        status = {"addresses": [{"type": "InternalIP", "address": f"192.168.0.{number}"}]}
        spec = {"podCIDRs": ["10.244.0.0/16", "fd00:10::/64"]}
        world.add(0, "Node", {"metadata": {"name": node, "uid": f"node-{node}"}, "spec": spec, "status": status})
    for change in world.made.changes:
        world.add(change.at_ns, "Pod", disguised(world, change.obj), deleted=change.deleted)
    for _ in range(8):
        add_decoy(world)
        add_slice(world)
    for number in range(6):
        add_lie(world, number)
    add_static_pods(world)
    world.events.sort()
    return world


def disguised(world: TenantCluster, obj: dict[str, Any]) -> dict[str, Any]:
    """A pod's object with what its tenant, or an odd writer, may have put into it."""
    meta, status = {**obj["metadata"], "uid": api_uid(obj["metadata"]["uid"])}, dict(obj["status"])
    if world.chance.random() < 0.3:
        meta["annotations"] = {
            "kubernetes.io/config.hash": claimed_uid(world)
        }  # the other mark comes at creation alone
    if meta.get("deletionTimestamp") and meta["deletionGracePeriodSeconds"] and world.chance.random() < 0.3:
        meta |= {"deletionGracePeriodSeconds": CENTURIES, "deletionTimestamp": "2660-08-14T00:00:00Z"}
    if world.chance.random() < 0.1:
        meta["creationTimestamp"] = world.chance.choice(ODD_TIMES)
    if world.chance.random() < 0.1:
        status["startTime"] = world.chance.choice(ODD_TIMES)
    if world.chance.random() < 0.1:
        status["podIPs"] = [None, {"ip": status.get("podIP")}, {"ip": 7}]
    return {**obj, "metadata": meta, "status": status}


def api_uid(name: str) -> str:
    """The UID that the API gives a pod of the history."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def annotations(world: TenantCluster) -> dict[str, Any]:
    """The marks of a mirror pod of somebody else."""
    claimed = claimed_uid(world)
    marks = {"kubernetes.io/config.hash": claimed}
    return marks | ({"kubernetes.io/config.mirror": claimed} if world.chance.random() < 0.5 else {})


def claimed_uid(world: TenantCluster) -> str:
    """The UID of another pod, or of a static pod."""
    return world.chance.choice([*HASHES, *(held.uid for held in world.made.held[:20])])


def add_decoy(world: TenantCluster) -> None:
    """A pod without an address that claims to be another one."""
    number = len(world.events)
    node = world.chance.choice(NODES)
    owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": f"node-{node}", "controller": True}
    meta = {"name": f"decoy-{number}", "namespace": "evil", "uid": f"decoy-{number}", "annotations": annotations(world)}
    if world.chance.random() < 0.5:
        meta["ownerReferences"] = [owner]
    at_ns = BEGIN_NS + world.upto(LENGTH_NS)
    world.add(at_ns, "Pod", {"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": "Pending"}})


def add_slice(world: TenantCluster) -> None:
    """A slice that names somebody's address."""
    number = len(world.events)
    endpoints = [{"addresses": [world.chance.choice(POOL), "10.96.0.200"]}]
    meta = {"name": f"slice-{number}", "namespace": "evil", "uid": f"slice-{number}"}
    world.add(BEGIN_NS + world.upto(LENGTH_NS), "EndpointSlice", {"metadata": meta, "endpoints": endpoints})


def add_lie(world: TenantCluster, number: int) -> None:
    """A service with somebody's address as its external one, for a while."""
    from_ns = BEGIN_NS + world.upto(LENGTH_NS)
    lie = Lie(
        f"lie-{number}", world.chance.choice(POOL), world.chance.choice(PORTS), from_ns, from_ns + world.upto(LENGTH_NS)
    )
    world.lies.append(lie)
    created = world.made.stamp(lie.from_ns, world.made.api_clock_ns)
    meta = {"name": lie.uid, "namespace": "evil", "uid": lie.uid, "creationTimestamp": created}
    ports = [{"port": lie.port}, {"port": 53, "protocol": "UDP"}]
    spec = {"clusterIP": f"10.96.0.{number}", "externalIPs": [lie.address], "ports": ports}
    obj = {"metadata": meta, "spec": spec, "status": {}}
    world.add(lie.from_ns, "Service", obj)
    world.add(lie.to_ns, "Service", obj, deleted=True)


def add_static_pods(world: TenantCluster) -> None:
    """The same manifest on several nodes."""
    for node in NODES[:2]:
        for config_hash in HASHES:
            uid = f"mirror-{node}-{config_hash[:4]}"
            world.mirrors[node, config_hash] = uid
            owner = {"apiVersion": "v1", "kind": "Node", "name": node, "uid": f"node-{node}", "controller": True}
            marks = dict.fromkeys(("kubernetes.io/config.hash", "kubernetes.io/config.mirror"), config_hash)
            meta = {
                "name": uid,
                "namespace": "kube-system",
                "uid": uid,
                "annotations": marks,
                "ownerReferences": [owner],
            }
            spec = {"nodeName": node, "hostNetwork": True}
            status = {"phase": "Running", "startTime": rfc3339(BEGIN_NS)}
            world.add(BEGIN_NS, "Pod", {"metadata": meta, "spec": spec, "status": status})


def judge(world: TenantCluster, questions: int) -> TenantScore:
    """Let the observer read every event, late, and ask between them about what counts as final then."""
    score, directory = TenantScore(), Directory(Selection(orphaned=True))
    clock_ns = world.chance.randint(-SECOND, SECOND)
    asker_ns = world.chance.randint(-SECOND, SECOND)
    arrival_ns, through_ns = BEGIN_NS - 60 * SECOND, BEGIN_NS - 60 * SECOND
    for kind in ("Pod", "Service", "Node"):
        directory.add_unwatched(kind, 0, through_ns + clock_ns)
    share = questions / len(world.events)
    for place, event in enumerate(world.events):
        stall_ns = world.upto(STALL_NS) if world.chance.random() < 0.05 else 0
        arrival_ns = max(arrival_ns, event.at_ns + world.upto(STREAM_NS)) + stall_ns
        at_ns, known_ns = arrival_ns + clock_ns, through_ns + clock_ns
        directory.apply(event.kind, event.obj, at_ns, known_ns)
        if event.deleted:
            directory.delete(event.kind, event.obj["metadata"]["uid"], at_ns, known_ns, event.obj)
        if world.chance.random() < 0.5:  # a probe from before the next unread event is proven now
            unread_ns = world.events[place + 1].at_ns if place + 1 < len(world.events) else arrival_ns
            through_ns = max(through_ns, min(arrival_ns, unread_ns - 1))
        if through_ns > BEGIN_NS + FINAL_AFTER_NS:
            for _ in range(int(share + world.chance.random())):
                ask(world, directory, score, through_ns - FINAL_AFTER_NS, asker_ns)
    return score


def ask(world: TenantCluster, directory: Directory, score: TenantScore, final_ns: int, clock_ns: int) -> None:
    """One question, and the truth."""
    if world.chance.random() < 0.2:
        ask_uid(world, directory, score)
        return
    address, port = world.chance.choice(POOL), world.chance.choice(PORTS)
    to_ns = BEGIN_NS + world.upto(final_ns - BEGIN_NS)
    from_ns = to_ns - world.chance.choice((0, 0, world.upto(5 * SECOND), world.upto(60 * SECOND)))
    answer = directory.answer(Query(address, port, from_ns + clock_ns, to_ns + clock_ns))
    if answer.kind in ("Ambiguous", "Unknown"):
        score.honest += 1
    elif answer.uid in set(true_owners(world, address, port, from_ns, to_ns)):
        score.named += 1
    else:
        when = f"[{from_ns - BEGIN_NS}, {to_ns - BEGIN_NS}]"
        score.wrong.append(f"{address}:{port} in {when}, {rfc3339(final_ns)}: {answer}")


def true_owners(world: TenantCluster, address: str, port: int, from_ns: int, to_ns: int) -> Iterator[str]:
    """Who took every connection of a time: the pod, unless a service took some of its port away."""
    taken = [lie for lie in world.lies if (lie.address, lie.port) == (address, port)]
    taken = [lie for lie in taken if lie.from_ns <= to_ns and from_ns <= lie.to_ns]
    yield from (lie.uid for lie in taken if lie.from_ns <= from_ns and to_ns <= lie.to_ns)
    if not taken:
        held = [one for one in world.made.held if one.address == address]
        yield from (one.uid for one in held if one.from_ns <= from_ns and to_ns < one.to_ns)


def ask_uid(world: TenantCluster, directory: Directory, score: TenantScore) -> None:
    """Who a kernel's UID is on a node: the pod of that UID, else the node's own static pod."""
    node = world.chance.choice(NODES)
    uid = claimed_uid(world)
    answer = directory.answer(Query(pod_uid=uid, node=node))
    truth = world.mirrors.get((node, uid)) if uid in HASHES else uid
    if answer.kind != "Pod":
        score.honest += 1
    elif answer.uid == truth:
        score.named += 1
    else:
        score.wrong.append(f"{uid} on {node}: {answer}, truth {truth}")
