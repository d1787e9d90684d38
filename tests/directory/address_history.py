"""A cluster's true history of a few addresses, and what an observer with other clocks and late events receives of it.

Written from what a kubelet, an address manager and an API server do: an address is given to a sandbox before its
containers start, taken back after they end, and may go to the next pod in the same instant; the API server hears of
both late; a force-deleted pod is gone from the API before it has given its address back. Every clock differs from the
true time by at most a second, so any two by two; a kubelet reports within 3 s, an event arrives within 5 s.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from directory.interval import SECOND
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Query
from podsonar.timestamp import rfc3339

POOL = ("10.244.0.2", "10.244.0.3", "fd00:10::2")
CLOCK_NS = SECOND  # between a clock and the true time
KUBELET_NS, STREAM_NS = 3 * SECOND, 5 * SECOND
LENGTH_NS = 400 * SECOND
BEGIN_NS = 1_800_000_000 * SECOND


@dataclass(frozen=True)
class HeldAddress:
    """The truth: a pod had an address in `[from_ns, to_ns)`."""

    uid: str
    address: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class AddressChange:
    """The API server's object of a pod from `at_ns` on; `deleted` where it is the last state of a pod that is gone."""

    at_ns: int
    obj: dict[str, Any]
    deleted: bool = False


@dataclass
class Life:
    """One pod as it is made up: what its object shows now, and when the API server last received it."""

    uid: str
    created_ns: int
    heard_ns: int
    status: dict[str, Any]
    statuses: bool
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class AddressHistory:
    """What really happened, and every change of the API server's objects."""

    random: random.Random
    held: list[HeldAddress] = field(default_factory=list)
    changes: list[AddressChange] = field(default_factory=list)
    node_clock_ns: int = 0
    api_clock_ns: int = 0

    def upto(self, limit_ns: int) -> int:
        """A time span of at most that."""
        return self.random.randrange(limit_ns + 1)

    def stamp(self, at_ns: int, clock_ns: int) -> str:
        """A time as a clock writes it into an object: whole seconds."""
        return rfc3339((at_ns + clock_ns) // SECOND * SECOND)[:19] + "Z"

    def tell(self, life: Life, at_ns: int, *, gone: bool = False) -> None:
        """The API server has the pod as it shows itself, from then on."""
        life.heard_ns = max(life.heard_ns, at_ns)
        created = self.stamp(life.created_ns, self.api_clock_ns)
        meta = {"name": life.uid, "namespace": "shop", "uid": life.uid, "creationTimestamp": created, **life.meta}
        obj = {"metadata": meta, "spec": {"nodeName": "n1"}, "status": dict(life.status)}
        self.changes.append(AddressChange(life.heard_ns, obj, gone))

    def report(self, life: Life, at_ns: int, *, gone: bool = False) -> None:
        """The kubelet reports what became so at that time."""
        self.tell(life, at_ns + self.upto(KUBELET_NS), gone=gone)

    def container(self, life: Life, **states: dict[str, Any]) -> None:
        """The pod's one container is in these states, where the pod shows containers at all."""
        if life.statuses:
            life.status["containerStatuses"] = [states]

    def run(self, life: Life, address: str, begin_ns: int) -> int:
        """The pod's sandbox has an address, and a container runs in it, perhaps twice; when the last one ends."""
        life.status["podIP"] = address
        running = begin_ns + self.upto(2 * SECOND)
        last: dict[str, Any] = (life.status.get("containerStatuses") or [{}])[0].get("state") or {}
        self.container(life, state={"running": {"startedAt": self.stamp(running, self.node_clock_ns)}}, lastState=last)
        self.report(life, running)
        finished = running + self.upto(60 * SECOND)
        if self.random.random() < 0.2:
            over = self.terminated(running, finished)
            again = finished + self.upto(20 * SECOND)
            state = {"running": {"startedAt": self.stamp(again, self.node_clock_ns)}}
            self.container(life, state=state, lastState=over)
            self.report(life, again)
            running = again
            finished = again + self.upto(60 * SECOND)
        self.container(life, state=self.terminated(running, finished))
        return finished

    def terminated(self, started_ns: int, finished_ns: int) -> dict[str, Any]:
        """The state of a container that has run."""
        started, finished = (self.stamp(at_ns, self.node_clock_ns) for at_ns in (started_ns, finished_ns))
        return {"terminated": {"startedAt": started, "finishedAt": finished}}

    def live(self, uid: str, address: str, free_ns: int) -> int:
        """One pod's life at an address that is free since then; when the address is free again.

        Now and then it has another address before (of its own), or gets another one afterwards: a new sandbox.
        """
        before = self.random.random() < 0.1
        created = free_ns - self.upto((60 if before else 4) * SECOND)
        life = Life(uid, created, created, {"phase": "Pending"}, self.random.random() < 0.9)
        self.tell(life, created)
        started = created + self.upto(2 * SECOND)
        life.status |= {"phase": "Running", "startTime": self.stamp(started, self.node_clock_ns)}
        if before:
            ended = self.stay(life, f"10.244.8.{len(self.held) % 250}", started)
            begin = max(ended, free_ns)
            if not life.statuses:  # no container tells of the end: then the address goes from the status at once
                life.status.pop("podIP")
                self.report(life, ended)
        else:
            begin = max(started, free_ns)
        free_ns = finished = self.stay(life, address, begin + self.random.choice((0, 0, self.upto(3 * SECOND))))
        if self.random.random() < 0.1:
            finished = self.stay(life, f"10.244.9.{len(self.held) % 250}", finished + self.upto(SECOND))
        self.end(life, finished)
        return free_ns

    def stay(self, life: Life, address: str, begin_ns: int) -> int:
        """One sandbox of a pod, from its address to its release; when that is."""
        finished = self.run(life, address, begin_ns)
        released = finished + self.random.choice((0, self.upto(SECOND)))
        self.held.append(HeldAddress(life.uid, address, begin_ns, released))
        return released

    def end(self, life: Life, released_ns: int) -> None:
        """The pod ends by itself, or was asked to with a time of grace, or is taken from the API by force before."""
        way = self.random.choice(("itself", "grace", "force"))
        if way == "itself":
            life.status["phase"] = self.random.choice(("Succeeded", "Failed"))
            if self.random.random() < 0.5:
                life.status.pop("podIP")
            self.report(life, released_ns)
            self.tell(life, released_ns + self.upto(30 * SECOND), gone=True)
            return
        final = dict(life.status)
        asked = max(life.heard_ns, released_ns - self.upto(20 * SECOND))
        grace = 0 if way == "force" else 30
        life.meta = {
            "deletionTimestamp": self.stamp(asked + grace * SECOND, self.api_clock_ns),
            "deletionGracePeriodSeconds": grace,
        }
        if asked < released_ns:  # what the API server has is older than the end
            life.status = dict(self.changes[-1].obj["status"])
        self.tell(life, asked, gone=way == "force")
        if way == "grace":
            life.status = final
            self.report(life, released_ns, gone=True)


def history(seed: int) -> AddressHistory:
    """A random history of every address of the pool."""
    made = AddressHistory(random.Random(seed))  # noqa: S311 - no secret
    made.node_clock_ns, made.api_clock_ns = (made.random.randint(-CLOCK_NS, CLOCK_NS) for _ in range(2))
    for number, address in enumerate(POOL):
        at_ns, pods = BEGIN_NS + made.upto(30 * SECOND), 0
        while at_ns < BEGIN_NS + LENGTH_NS:
            at_ns = made.live(f"p{number}-{pods}", address, at_ns)
            at_ns += made.random.choice((0, 0, made.upto(SECOND), made.upto(40 * SECOND)))
            pods += 1
    made.changes.sort(key=lambda change: change.at_ns)
    return made


def heard(made: AddressHistory) -> Directory:
    """The directory of an observer that receives each change late, by its own clock, and misses all in two gaps."""
    directory = Directory(Selection(orphaned=True))
    clock_ns = made.random.randint(-CLOCK_NS, CLOCK_NS)
    gaps = sorted(BEGIN_NS + made.upto(LENGTH_NS) for _ in range(2))
    gaps_ns = [(begin, begin + made.upto(30 * SECOND)) for begin in gaps]
    through_ns = arrival_ns = BEGIN_NS - 60 * SECOND
    state: dict[str, dict[str, Any]] = {}
    lists_ns = sorted(end for _begin, end in gaps_ns)  # a gap may lie within the other one
    directory.add_unwatched("Pod", 0, through_ns + clock_ns)
    for change in [*made.changes, AddressChange(BEGIN_NS + 2 * LENGTH_NS, {}, deleted=True)]:
        while lists_ns and change.at_ns > lists_ns[0]:
            end_ns = lists_ns.pop(0)
            relist(directory, state, end_ns + clock_ns, through_ns + clock_ns)
            through_ns = arrival_ns = max(arrival_ns, end_ns)
        if not change.obj:
            break
        uid = change.obj["metadata"]["uid"]
        if change.deleted:
            state.pop(uid, None)
        else:
            state[uid] = change.obj
        if any(begin <= change.at_ns <= end for begin, end in gaps_ns):
            continue
        arrival_ns = max(arrival_ns, change.at_ns + made.upto(STREAM_NS))
        at_ns, known_ns = arrival_ns + clock_ns, through_ns + clock_ns
        directory.apply("Pod", change.obj, at_ns, known_ns)
        if change.deleted:
            directory.delete("Pod", uid, at_ns, known_ns, change.obj)
        through_ns = arrival_ns
    return directory


def relist(directory: Directory, state: dict[str, dict[str, Any]], at_ns: int, known_ns: int) -> None:
    """The observer lists after a gap."""
    for obj in state.values():
        directory.apply("Pod", obj, at_ns, known_ns)
    for uid in directory.missing("Pod", set(state)):
        directory.delete("Pod", uid, at_ns, known_ns)
    directory.add_unwatched("Pod", known_ns, at_ns)


@dataclass
class HistoryScore:
    """How many questions were answered with a pod, with none, and wrongly."""

    named: int = 0
    honest: int = 0
    owned: int = 0
    wrong: list[str] = field(default_factory=list)


def ask(made: AddressHistory, directory: Directory, questions: int) -> HistoryScore:
    """Ask an asker's random questions, by its own clock, and compare with the truth."""
    score = HistoryScore()
    clock_ns = made.random.randint(-CLOCK_NS, CLOCK_NS)
    for _ in range(questions):
        address = made.random.choice(POOL if made.random.random() < 0.9 else [one.address for one in made.held])
        from_ns = BEGIN_NS + made.upto(LENGTH_NS)
        to_ns = from_ns + made.random.choice((0, 0, made.upto(5 * SECOND), made.upto(60 * SECOND)))
        true = [one for one in made.held if one.address == address and one.from_ns <= to_ns and from_ns < one.to_ns]
        whole = [one.uid for one in true if one.from_ns <= from_ns and to_ns < one.to_ns]
        score.owned += bool(whole)
        answer = directory.answer(Query(address, 80, from_ns + clock_ns, to_ns + clock_ns))
        if answer.kind == "Pod" and answer.uid in whole:
            score.named += 1
        elif answer.kind in ("Ambiguous", "Unknown"):
            score.honest += 1
        else:
            score.wrong.append(f"{address} in [{from_ns - BEGIN_NS}, {to_ns - BEGIN_NS}]: {answer}, truth {true}")
    return score
