"""A capture's flows by who made them and where they went, and the questions that they raise."""

from collections import defaultdict
from dataclasses import dataclass, field
from operator import itemgetter

from node_agent.attribution import filters, pod_lookup
from podsonar.model import Capture, Flow, Query

NOT_YET_NS = 1 << 64  # later than any time in a capture


@dataclass(slots=True, eq=False)  # one object for each address and port: a key that is quick to hash
class Destination:
    """An address and port, and the time span of the flows to it that may have come from a pod."""

    address: str
    port: int
    loopback: bool
    from_ns: int = NOT_YET_NS
    to_ns: int = -NOT_YET_NS

    @property
    def asked(self) -> bool:
        """Return whether its owner must be resolved. Loopback is in every namespace and identifies no owner."""
        return not self.loopback and self.from_ns < NOT_YET_NS


@dataclass(frozen=True, slots=True)
class FlowGroup:
    """Flows, and the target of each in the same place of the other list."""

    flows: list[Flow] = field(default_factory=list)
    targets: list[Destination] = field(default_factory=list)

    def column(self, name: str) -> list[int]:
        """One of the counts or times of every flow."""
        return list(map(itemgetter(Flow._fields.index(name)), self.flows))


@dataclass(frozen=True, slots=True)
class FlowGroups:
    """A capture, grouped.

    `of_pods` has the flows of each pod that the kernel identified, by `(uid, opened before, to loopback)`: flows of one
    such group get the same decision. `of_others` has the flows whose cgroup identifies no pod.
    """

    capture: Capture
    pods: dict[int, str | None]
    targets: list[Destination]
    of_pods: dict[tuple[str, bool, bool], FlowGroup]
    of_others: FlowGroup


def group_flows(capture: Capture) -> FlowGroups:
    """Every flow of a capture in one group, in the capture's order; one pass, since there may be 100,000."""
    pods = pod_lookup.pods_of_cgroups(capture)
    targets: dict[tuple[str, int], Destination] = {}
    of_pods: defaultdict[tuple[str, bool, bool], FlowGroup] = defaultdict(FlowGroup)
    of_others = FlowGroup()
    for flow in capture.flows:
        # Unpacked, for a field by its name takes as long as all of them.
        cgroup, _, address, port, _, _, _, _, first_ns, last_ns, _, _, _, opened, pod_uid = flow
        target = targets.get((address, port))
        if target is None:
            target = targets[address, port] = Destination(address, port, filters.is_loopback(address))
        uid = pod_uid or pods.get(cgroup)
        group = of_pods[uid, opened, target.loopback] if uid else of_others
        group.flows.append(flow)
        group.targets.append(target)
        if (first_ns < target.from_ns or last_ns > target.to_ns) and (
            uid or pod_lookup.needs_address_lookup(capture, flow)
        ):
            target.from_ns = min(first_ns, target.from_ns)
            target.to_ns = max(last_ns, target.to_ns)
    return FlowGroups(capture, pods, list(targets.values()), of_pods, of_others)


def directory_queries(traffic: FlowGroups) -> list[Query]:
    """Return every query once: pods by UID, sources known by address only, destinations.

    A destination is queried once, for the time span of the flows to it that may have come from a pod.
    """
    capture, others = traffic.capture, traffic.of_others
    uids = {uid for uid, _opened, _loopback in traffic.of_pods}
    uids |= {uid for entry in capture.accepted if (uid := traffic.pods.get(entry.cgroup))}
    by_address = {
        pod_lookup.source_query(flow): None
        for flow, target in zip(others.flows, others.targets, strict=True)
        if not target.loopback and pod_lookup.needs_address_lookup(capture, flow)
    }
    by_address |= {
        pod_lookup.listener_query(entry): None
        for entry in capture.accepted
        if pod_lookup.needs_address_lookup(capture, entry) and not filters.is_loopback(entry.remote)
    }
    asked = sorted((one for one in traffic.targets if one.asked), key=lambda one: (one.address, one.port))
    destinations = [Query(one.address, one.port, one.from_ns, one.to_ns) for one in asked]
    return [*(Query(pod_uid=uid) for uid in sorted(uids)), *by_address, *destinations]
