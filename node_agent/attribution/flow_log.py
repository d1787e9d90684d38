"""Reads and writes the debug log of an agent: its `connection` lines are connections already resolved."""

import re
from collections import Counter
from typing import Any, NamedTuple

from node_agent.attribution.flow_decisions import UNRESOLVED, Decision

CONNECTION = re.compile(
    r"connection (?P<source>\S+) -> (?P<destination>\S+):(?P<port>\d+) from pod \{(?P<pod>[^}]*)\}"
    r" to svc \{(?P<service>[^}]*)\} or pod \{(?P<target>[^}]*)\} added to the list"
)
SKIPPED = re.compile(r"skiping connection \{\d+ \S+ \S+ \d+\} as (?P<reason>.+)")
NODE = re.compile(r"pushed \d+ connections for node name (?P<node>\S+)")
WORDS = {
    "source_not_a_pod": "source is not a pod",
    "source_unknown": "source is unknown",
    "source_pod_unknown": "source pod is unknown",
    "loopback": "destination is loopback",
    "own_traffic": "source is this agent",
    "other_node": "source is on another node",
    "namespace_not_observed": "source namespace is not observed",
    "namespace_blacklisted": "source namespace is blacklisted",
    "orphaned_pod": "source is an orphaned pod",
    "batch_pod": "source is a batch pod",
}
REASONS = {words: reason for reason, words in WORDS.items()}
NOT_A_CONNECTION = "not_a_connection_line"


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


def is_log(content: bytes) -> bool:
    """Whether a text has at least one line of such a log."""
    text = content.decode("utf-8", "replace")
    return any(CONNECTION.match(line) or SKIPPED.match(line) for line in text.splitlines())


def reference(kind: str, uid: str) -> dict[str, Any] | None:
    """An object reference of which the log has the UID only; None where it has none."""
    return {"kind": kind, "uid": uid, "namespace": None, "name": None} if uid else None


def parse_connection(match: re.Match[str]) -> dict[str, Any]:
    """Return the connection of a line; one without service and pod is not "external", since the log has no nodes or
    ranges.
    """
    service, target = match["service"], match["target"]
    kind = "Service" if service else "Pod" if target else "Unknown"
    return {
        "type": "TCP",
        "sourceIP": match["source"],
        "destinationIP": match["destination"],
        "destinationPort": match["port"],
        "kubernetes": {
            "sourcePod": reference("Pod", match["pod"]),
            "destinationService": reference("Service", service),
            "destinationPod": reference("Pod", "" if service else target),
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


def skip_reason(line: str) -> str:
    """Why a line gives no connection."""
    skipped = SKIPPED.fullmatch(line)
    return REASONS.get(skipped["reason"], "other_rule") if skipped else NOT_A_CONNECTION


def read_log(text: str) -> tuple[dict[str, Any], list[SkippedLine]]:
    """The connections body of a log, and each line that is left out with its reason."""
    connections: list[dict[str, Any]] = []
    skipped_lines: list[SkippedLine] = []
    node = ""
    for number, written in enumerate(text.splitlines(), start=1):
        line = written.strip()
        if match := CONNECTION.fullmatch(line):
            connections.append(parse_connection(match))
            continue
        if named := NODE.fullmatch(line):
            node = named["node"]
        skipped_lines.append(SkippedLine(number, skip_reason(line), written))
    return body_of(
        node, connections, Counter(line.reason for line in skipped_lines if line.reason != NOT_A_CONNECTION)
    ), skipped_lines


def body_of(node: str, connections: list[dict[str, Any]], skipped: Counter[str]) -> dict[str, Any]:
    """Return the connections body; each line counts as one attempt, since the log has no counts."""
    return {
        "nodeName": node,
        "window": None,
        "observation": {
            "attempts": len(connections) + skipped.total(),
            "delivered": len(connections),
            "established": 0,
            "failed": 0,
            "lost": {},
            "filtered": {reason: count for reason, count in sorted(skipped.items()) if reason not in UNRESOLVED},
            "unresolved": {reason: count for reason, count in sorted(skipped.items()) if reason in UNRESOLVED},
            "tracer": "log",
            "identity": "log",
            "accepted": {"seen": 0, "delivered": 0, "lost": {}, "filtered": {}, "unresolved": {}},
        },
        "connectionList": connections,
        "acceptedList": [],
    }
