"""Records in one shape: rows of the tables, elements of a body, and the part of a capture that touches a scenario."""

from dataclasses import replace
from typing import Any

from lab.simulated.network import OUTSIDE
from podsonar.model import AcceptedFlow, Capture, Flow
from tests.scenarios.simulated_cluster import Cast
from tests.scenarios.table import Edge, Taken

Body = dict[str, Any]


def own_part(cast: Cast, capture: Capture) -> Capture:
    """The capture with the records that touch the scenario: by cgroup, else by an address that only it has."""
    marks = {cast.cgroup_uid(pod) for pod in cast.scenario.pods}
    marks |= {cast.key(one.name) for one in cast.scenario.processes}
    marks |= {mark.replace("-", "_") for mark in marks}
    cgroups = {cgroup for cgroup, names in capture.cgroups.items() if any(m in name for name in names for m in marks)}
    addresses = {address for pod in cast.scenario.pods if not pod.host_network for address in cast.addresses[pod.name]}
    addresses |= {address for ips in cast.services.values() for address in ips.values()}
    node_ports = {service.node_port for service in cast.scenario.services if service.node_port}

    def flow_is_own(flow: Flow) -> bool:
        if flow.port in node_ports and flow.source == OUTSIDE:
            return True
        return flow.cgroup in cgroups or flow.pod_uid in marks or bool({flow.source, flow.destination} & addresses)

    def accepted_is_own(entry: AcceptedFlow) -> bool:
        return entry.cgroup in cgroups or bool({entry.local, entry.remote} & addresses)

    return replace(
        capture,
        flows=[flow for flow in capture.flows if flow_is_own(flow)],
        accepted=[entry for entry in capture.accepted if accepted_is_own(entry)],
    )


def reference_of(cast: Cast, owner: str) -> Body | None:
    """The object reference of `Service shop` or `Pod web`."""
    kind, _, name = owner.partition(" ")
    if kind not in {"Service", "Pod"}:
        return None
    pod = cast.pods.get(name)
    namespace = (pod.namespace if kind == "Pod" and pod else "") or cast.scenario.name
    return {"kind": kind, "uid": cast.uid(kind, name), "namespace": namespace, "name": name}


def edge_record(cast: Cast, edge: Edge) -> Body:
    """The record that an edge's row describes, without its times."""
    kind, _, name = edge.owner.partition(" ")
    established = edge.attempts - edge.failed - edge.unfinished if edge.established is None else edge.established
    to = cast.where(edge.to)
    owner = reference_of(cast, edge.owner)
    return {
        "source": reference_of(cast, f"Pod {edge.source}"),
        "sourceIP": cast.where(edge.by) if edge.by else cast.addresses[edge.source][":" in to],
        "destinationIP": to,
        "destinationPort": str(edge.port),
        "destinationService": owner if kind == "Service" else None,
        "destinationPod": owner if kind == "Pod" else None,
        "destination": {"kind": kind, "reason": edge.reason, "name": name or None},
        "attempts": edge.attempts,
        "established": edge.opened_before or established,
        "failed": edge.failed,
        "unfinished": edge.unfinished,
        "lastErrno": edge.errno,
        "openedBefore": bool(edge.opened_before),
    }


def connection_record(connection: Body) -> Body:
    """A connection of a body in the shape of `edge_record`."""
    ends = connection["kubernetes"]
    same = ("sourceIP", "destinationIP", "destinationPort", "destination", "attempts", "established", "failed")
    same += ("unfinished", "lastErrno", "openedBefore")
    return {
        "source": ends["sourcePod"],
        **{name: ends[name] for name in ("destinationService", "destinationPod")},
        **{name: connection[name] for name in same},
    }


def taken_record(cast: Cast, taken: Taken) -> Body:
    """The record that a row of the accepting end describes, without its times."""
    return {
        "pod": reference_of(cast, f"Pod {taken.pod}"),
        "localIP": cast.where(taken.at),
        "localPort": str(taken.port),
        "remoteIP": cast.where(taken.remote),
        "accepted": taken.count,
        "openedBefore": taken.opened_before,
    }
