"""Reads and writes the debug log of an agent: its `connection` lines are connections already resolved.

A line is read strictly, into canonical values: addresses as `ipaddress` writes them, a port from 1 to 65535, a source
pod. A line that does not fit is left out and counted by its reason.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from node_agent.attribution.flow_decisions import UNRESOLVED, Decision
from node_agent.attribution.log_envelopes import unwrap
from podsonar.errors import InputError

MOST_LINES = 250_000

CONNECTION = re.compile(
    r"connection (?P<source>\S+) -> (?P<destination>\S+):(?P<port>\d+) from pod \{(?P<pod>[^}]*)\}"
    r" to svc \{(?P<service>[^}]*)\} or pod \{(?P<target>[^}]*)\} added to the list",
    re.ASCII,
)
SKIPPED = re.compile(r"skiping connection \{\d+ \S+ \S+ \d+\} as (?P<reason>.+)")
NODE = re.compile(r"pushed \d+ connections for node name (?P<node>\S+)")
WORDS = {
    "source_not_a_pod": "source is not a pod",
    "source_unknown": "source is unknown",
    "source_pod_unknown": "source pod is unknown",
    "identity_conflict": "source address is another pod's",
    "loopback": "destination is loopback",
    "own_traffic": "source is this agent",
    "other_node": "source is on another node",
    "namespace_not_observed": "source namespace is not observed",
    "namespace_blacklisted": "source namespace is blacklisted",
    "orphaned_pod": "source is an orphaned pod",
    "batch_pod": "source is a batch pod",
    "scan": "destinations are beyond the share of the pod",
}
REASONS = {words: reason for reason, words in WORDS.items()}
NOT_A_CONNECTION = "not_a_connection_line"
# Why a connection line is not delivered although the agent had added it.
INVALID = ("bad_address", "bad_port", "bad_uid", "no_source_pod")
UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", re.ASCII)


def decision_line(decision: Decision) -> str:
    """The log line of one decision, in the shape that `read_log` reads."""
    flow, target = decision.flow, decision.destination
    if decision.reason is not None:
        words = WORDS.get(decision.reason, decision.reason)
        return f"skiping connection {{{flow.cgroup} {flow.source} {flow.destination} {flow.port}}} as {words}"
    service = target.uid or "" if target.kind == "Service" else ""
    pod = target.uid or "" if target.kind == "Pod" else ""
    return (
        f"connection {flow.source} -> {flow.destination}:{flow.port} from pod {{{decision.source.uid}}}"
        f" to svc {{{service}}} or pod {{{pod}}} added to the list"
    )


class SkippedLine(NamedTuple):
    """A line that gives no connection, and why."""

    number: int
    reason: str
    text: str


class LoggedConnection(NamedTuple):
    """The values of a connection line; an empty UID is none."""

    source: str
    destination: str
    port: int
    pod: str
    service: str
    target: str


@dataclass(slots=True)
class NodeLog:
    """What one node's lines say; `skipped` counts the lines that are not connections by their reason."""

    node: str
    connections: list[LoggedConnection] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def content(self) -> Iterator[bytes]:
        """Yield the JSON of the connections body; each line counts as one attempt, since the log has no counts."""
        invalid = {reason: count for reason, count in sorted(self.skipped.items()) if reason in INVALID}
        reasons = {reason: count for reason, count in sorted(self.skipped.items()) if reason not in INVALID}
        observation = {
            "attempts": len(self.connections) + self.skipped.total(),
            "delivered": len(self.connections),
            "established": 0,
            "failed": 0,
            "lost": invalid,
            "filtered": {reason: count for reason, count in reasons.items() if reason not in UNRESOLVED},
            "unresolved": {reason: count for reason, count in reasons.items() if reason in UNRESOLVED},
            "tracer": "log",
            "identity": "log",
            "accepted": {"seen": 0, "delivered": 0, "lost": {}, "filtered": {}, "unresolved": {}},
        }
        head = orjson.dumps({"nodeName": self.node, "window": None, "observation": observation})
        yield head[:-1] + b',"connectionList":['
        for number, connection in enumerate(self.connections):
            yield (b"," if number else b"") + orjson.dumps(connection_body(connection))
        yield b'],"acceptedList":[]}'


def reference(kind: str, uid: str) -> dict[str, Any] | None:
    """Return an object reference of which the log has the UID only; None if it has none."""
    return {"kind": kind, "uid": uid, "namespace": None, "name": None} if uid else None


def connection_body(connection: LoggedConnection) -> dict[str, Any]:
    """Return the connection of a line; one without service and pod is not "external", since the log has no nodes or
    ranges.
    """
    kind = "Service" if connection.service else "Pod" if connection.target else "Unknown"
    return {
        "type": "TCP",
        "sourceIP": connection.source,
        "destinationIP": connection.destination,
        "destinationPort": str(connection.port),
        "kubernetes": {
            "sourcePod": reference("Pod", connection.pod),
            "destinationService": reference("Service", connection.service),
            "destinationPod": reference("Pod", "" if connection.service else connection.target),
        },
        "destination": {
            "kind": kind,
            "reason": "no_service_or_pod_in_log" if kind == "Unknown" else None,
            "name": None,
        },
        "attempts": 1,
        "established": 0,
        "failed": 0,
        "unfinished": 0,
        "lastErrno": None,
        "openedBefore": False,
        "firstSeen": None,
        "lastSeen": None,
        "handshakeSeconds": None,
    }


def canonical_address(text: str) -> str | None:
    """Return the text of an address, without brackets and IPv4 if it is mapped; None for anything else."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address)


def parse_connection(match: re.Match[str]) -> LoggedConnection | str:
    """Return the values of a connection line, or the reason why one of them does not fit."""
    source, destination = canonical_address(match["source"]), canonical_address(match["destination"])
    port = int(match["port"][:6])
    if source is None or destination is None:
        return "bad_address"
    if not 1 <= port <= 65535 or len(match["port"]) > 5:
        return "bad_port"
    uids = match["pod"].strip(), match["service"].strip(), match["target"].strip()
    if not uids[0]:
        return "no_source_pod"
    if not all(UID.fullmatch(uid) for uid in uids if uid):
        return "bad_uid"
    return LoggedConnection(source, destination, port, *uids)


def skip_reason(line: str) -> str:
    """Return why a line gives no connection."""
    skipped = SKIPPED.fullmatch(line)
    return REASONS.get(skipped["reason"], "other_rule") if skipped else NOT_A_CONNECTION


@dataclass(slots=True)
class Stream:
    """The lines of one source of a log up to the line that names their node."""

    node: str | None = None
    waiting: NodeLog = field(default_factory=lambda: NodeLog(""))


def read_log(text: str) -> tuple[list[NodeLog], list[SkippedLine]]:
    """Return what each node's lines say, and each line that is left out with its reason.

    An agent names its node behind the connections of a window: what stands before that line, in the same stream if the
    lines have prefixes, is that node's. InputError for more than 250,000 lines.
    """
    nodes: dict[str, NodeLog] = {}
    streams: dict[str, Stream] = {}
    skipped_lines: list[SkippedLine] = []
    if (count := text.count("\n")) > MOST_LINES:
        raise InputError(f"the log has {count} lines, expected at most {MOST_LINES}: split it")
    lines = text.split("\n")
    for number, written in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        name, line = unwrap(written)
        stream = streams.setdefault(name, Stream())
        match = CONNECTION.fullmatch(line)
        found = parse_connection(match) if match else skip_reason(line)
        if isinstance(found, LoggedConnection):
            stream.waiting.connections.append(found)
            continue
        if found != NOT_A_CONNECTION:
            stream.waiting.skipped[found] += 1
        if named := NODE.fullmatch(line):
            stream.node = named["node"]
            assign(nodes, stream.node, stream)
        skipped_lines.append(SkippedLine(number, found, written.rstrip("\r")))
    for stream in streams.values():
        if stream.waiting.connections or stream.waiting.skipped:
            assign(nodes, stream.node or "", stream)
    return list(nodes.values()) or [NodeLog("")], skipped_lines


def assign(nodes: dict[str, NodeLog], name: str, stream: Stream) -> None:
    """Add what waits in a stream to the node of that name."""
    node = nodes.setdefault(name, NodeLog(name))
    node.connections += stream.waiting.connections
    node.skipped += stream.waiting.skipped
    stream.waiting = NodeLog("")


def is_log(nodes: list[NodeLog]) -> bool:
    """Return whether a log that was read has at least one line about a connection."""
    return any(node.connections or node.skipped for node in nodes)
