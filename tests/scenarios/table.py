"""The vocabulary of the tables: who is there, what they do, and exactly what must be recorded of it.

Addresses are written as `pod web`, `pod6 web`, `service shop`, `service6 shop`, `node a`, `node6 a`, `outside`, or
literally. Counts are primes. A scenario's namespace has its name; pods have an IPv4 and an IPv6 address each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from directory.selection import Selection
from lab.simulated.two_nodes import CGROUPFS

Listen = int | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ScenarioPod:
    """A pod of the scenario; steps name its containers `pod` (the first) and `pod/container`."""

    name: str
    listen: tuple[Listen, ...] = ()
    node: str = "a"
    app: str = ""
    owner: str | None = "ReplicaSet"
    namespace: str = ""
    host_network: bool = False
    containers: tuple[str, ...] = ()
    cgroup: str = CGROUPFS
    only: str | None = None  # the one kind of cgroup hierarchy that its node has: v1 or v2
    static: bool = False  # its cgroup carries a config hash, not the API's uid
    late: bool = False  # it is started by a step
    heir: str = ""  # it gets the addresses of that pod
    known: bool = True  # the API server lists it
    named_after: str = ""  # its cgroup carries the uid of that pod
    host_port: tuple[int, int] | None = None  # (host port, container port)


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """A process of the node itself, in no pod's cgroup."""

    name: str
    node: str = "a"
    listen: tuple[Listen, ...] = ()


@dataclass(frozen=True, slots=True)
class ScenarioService:
    """A Service of the pods with the label `app`; without a family (4, 6 or 46) it is headless."""

    name: str
    app: str
    port: int
    target: int
    family: str = "4"
    node_port: int | None = None
    proxy: str = "nftables"


@dataclass(frozen=True, slots=True)
class Connect:
    """Exactly `count` connects in a mode of `connect_modes`; `attempts` of them the kernel must have seen."""

    who: str
    to: str
    port: int
    count: int
    mode: str = "close"
    established: int | None = None  # None: all
    attempts: int | None = None  # None: as `count`
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Do:
    """`start` or `delete` a pod, `run` a command in one, `stop-listening` once one has accepted so many, `listen` at a
    port in the network of a pod, let a process `leave-network` for one of its own or `end` (a zombie is left), `pass`
    so many connections to another process (and `keep` them), `half-close` them or `fork` a child that inherits them,
    move the agents' `clock` by so many seconds, or wait for so many more `drains` of each agent.
    """

    what: str
    who: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The node replaces the addresses of the pods of `source` by its own on the way to `destination`."""

    node: str
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Edge:
    """One element of `connectionList`: from a pod, to `owner` (`Service shop`, `Pod web`, `Node node-a`, or a kind)."""

    source: str
    to: str
    port: int
    owner: str
    attempts: int
    established: int | None = None  # None: all
    failed: int = 0
    errno: int | None = None
    unfinished: int = 0
    opened_before: int = 0  # so many were established before the window; attempts is 0
    reason: str | None = None
    by: str = ""  # source address, where it is not the pod's own
    window: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """One element of `acceptedList`."""

    pod: str
    at: str
    port: int
    remote: str
    count: int
    window: int = 0
    opened_before: bool = False  # the connections were established before the window


@dataclass(frozen=True, slots=True)
class Left:
    """Attempts (or accepted connections) left out for a reason; with a node, other agents say other_node instead."""

    reason: str
    count: int
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: what is there, what happens, what must be recorded and shown; nothing else may be."""

    name: str
    says: str
    pods: tuple[ScenarioPod, ...] = ()
    processes: tuple[NodeProcess, ...] = ()
    services: tuple[ScenarioService, ...] = ()
    masquerade: tuple[Masquerade, ...] = ()
    before: tuple[Connect | Do, ...] = ()
    steps: tuple[Connect | Do, ...] = ()
    second: tuple[Connect | Do, ...] = ()  # in a second window, right after the first
    edges: tuple[Edge, ...] = ()
    taken: tuple[Taken, ...] = ()
    left: tuple[Left, ...] = ()
    taken_left: tuple[Left, ...] = ()
    backends: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # service: pod: accepted, on the map
    unexplained: int = 0  # accepted, comparable, and explained by no client
    uncompared: Mapping[str, int] = field(default_factory=dict)
    opened_uncompared: int = 0  # accepted before the window, and compared with nothing
    both_ends: Mapping[str, bool | None] = field(default_factory=dict)  # service: what the map says of its edges
    spread: str = ""  # one attempt each from that address on, more than the map holds
    untraced: tuple[str, ...] = ()  # nodes whose tracer is none
    agentless: tuple[str, ...] = ()  # nodes without an agent
    selection: Selection = field(default_factory=Selection)
    window: str = "shared"  # scenarios of one name share a window: see run.py


def connect(who: str, to: str, port: int, count: int, mode: str = "close", **more: object) -> Connect:
    """A Connect whose further arguments go to its mode, except `established` and `attempts`."""
    own = {name: more.pop(name) for name in ("established", "attempts") if name in more}
    return Connect(who, to, port, count, mode, more=more, **own)  # type: ignore[arg-type]


def web_to_shop(attempts: int, **more: object) -> Edge:
    """The edge of pod web to port 8080 of pod shop: what most scenarios look at."""
    return Edge("web", "pod shop", 8080, "Pod shop", attempts, **more)  # type: ignore[arg-type]


def shop_took(count: int, **more: object) -> Taken:
    """The other end of `web_to_shop`."""
    return Taken("shop", "pod shop", 8080, "pod web", count, **more)  # type: ignore[arg-type]
