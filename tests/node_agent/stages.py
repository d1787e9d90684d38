"""Values for the tests of the stages: one node, two pods, a node process, and a directory that knows them."""

from typing import Any

import orjson

from node_agent.attribution.body.connections_body import ResolvedWindow, build_body
from node_agent.attribution.flow_groups import directory_queries, group_flows
from podsonar.directory_answer import Answer, Query
from podsonar.model import AcceptedFlow, Capture, Flow, Window

SECOND = 1_000_000_000
START_NS = 1_795_000_000 * SECOND
WEB = "2dc5e8c6-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
OWN = "11111111-2222-3333-4444-555555555555"
CGROUPS = {
    7: ("0123abcd", f"pod{WEB}"),
    8: ("0123abce", f"pod{WEB}"),
    9: ("sshd.service", "system.slice"),
    10: ("0123abcf", f"pod{OWN}"),
}


def flow(cgroup: int, destination: str, attempts: int = 1, source: str = "10.244.0.5", port: int = 8080) -> Flow:
    """A flow whose attempts were all established."""
    return Flow(
        cgroup,
        source,
        destination,
        port,
        attempts,
        attempts,
        0,
        0,
        START_NS,
        START_NS + SECOND,
        attempts * 1000,
        900,
        0,
    )


def capture(
    flows: list[Flow], accepted: list[AcceptedFlow] | None = None, lost: dict[str, int] | None = None
) -> Capture:
    """What node `node-a` saw."""
    window = Window(START_NS, START_NS + 60 * SECOND)
    return Capture(
        window, "node-a", "bcc:raw_tracepoint", "cgroup", flows, accepted or [], CGROUPS, lost or {}, own_pod_uid=OWN
    )


def directory(query: Query) -> Answer:
    """A hand-written directory; it does not check times (discovery's own tests do)."""
    if query.pod_uid is not None:
        known = {WEB: "web-1", OWN: "podsonar-x"}
        if query.pod_uid not in known:
            return Answer("Unknown", reason="pod_unknown")
        return Answer("Pod", query.pod_uid, "shop", known[query.pod_uid], node_name="node-a")
    return {
        "10.96.0.10": Answer("Service", "svc-1", "shop", "orders"),
        "10.244.0.6": Answer("Pod", "by-address", "shop", "worker-1", node_name="node-a"),
        "10.244.0.7": Answer("Ambiguous", reason="two_owners"),
        "192.168.0.1": Answer("Pod", "hostly", "kube-system", "proxy", node_name="node-a", host_network=True),
    }.get(query.address or "", Answer("External"))


def resolved(taken: Capture) -> ResolvedWindow:
    """The outcome of a capture, with the directory's answer to each of its questions."""
    traffic = group_flows(taken)
    return build_body(traffic, {query: directory(query) for query in directory_queries(traffic)})


def body(outcome: ResolvedWindow) -> dict[str, Any]:
    """The connections body, as a reader finds it."""
    found: dict[str, Any] = orjson.loads(b"".join(outcome.content()))
    return found
