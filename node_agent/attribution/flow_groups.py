"""A capture's flows by who made them and where they went, and the questions that they raise."""

from collections import defaultdict
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from node_agent.attribution import filters, pod_lookup
from node_agent.capture.pod_cgroup import UNKNOWN_OWNER, CgroupOwner
from podsonar.directory_answer import Query
from podsonar.model import Capture, Flow

NOT_YET_NS = 1 << 64  # later than any time in a capture


@dataclass(slots=True, eq=False)  # one object for each address and port: a key that is quick to hash
class FlowDestination:
    """An address and port that flows went to, and the time in which flows used it that may have come from a pod."""

    address: str
    port: int
    ownerless: bool  # loopback, which every namespace has, or a sum of many addresses
    from_ns: int = NOT_YET_NS
    to_ns: int = -NOT_YET_NS

    @property
    def asked(self) -> bool:
        """Whether its owner has to be known."""
        return not self.ownerless and self.from_ns < NOT_YET_NS


@dataclass(frozen=True, slots=True)
class FlowGroup:
    """Flows, and the target of each in the same place of the other list."""

    flows: list[Flow] = field(default_factory=list)
    targets: list[FlowDestination] = field(default_factory=list)

    def column(self, name: str) -> list[int]:
        """One of the counts or times of every flow."""
        return list(map(itemgetter(Flow._fields.index(name)), self.flows))


class SourceKey(NamedTuple):
    """What flows of one group share, so that one decision holds for all of them."""

    owner: CgroupOwner
    source: str
    opened_before: bool
    ownerless: bool


@dataclass(frozen=True, slots=True)
class FlowGroups:
    """A capture, sorted.

    `of_pods` has the flows whose cgroup names a pod, `source_queries` the question whose their source address was
    (loopback and sums raise none); `of_others` has the flows whose cgroup names no pod.
    """

    capture: Capture
    owners: dict[int, CgroupOwner]
    targets: list[FlowDestination]
    of_pods: dict[SourceKey, FlowGroup]
    of_others: FlowGroup
    source_queries: dict[SourceKey, Query]


def group_flows(capture: Capture) -> FlowGroups:
    """Return every flow of a capture in one group, in the capture's order; one pass, since there may be 100,000."""
    owners = pod_lookup.owners_of_cgroups(capture)
    opened_owners = {flow.pod_uid: CgroupOwner("pod", (flow.pod_uid,), True) for flow in capture.flows if flow.pod_uid}
    targets: dict[tuple[str, int], FlowDestination] = {}
    of_pods: defaultdict[SourceKey, FlowGroup] = defaultdict(FlowGroup)
    groups: dict[tuple[int, str | None, str, bool, bool], FlowGroup] = {}
    of_others = FlowGroup()
    no_pods = {cgroup for cgroup, owner in owners.items() if owner.kind in ("host", "shared")}
    for flow in capture.flows:
        # Unpacked, for a field by its name takes as long as all of them.
        cgroup, source, address, port, _, _, _, _, first_ns, last_ns, _, _, _, opened, pod_uid, _ = flow
        target = targets.get((address, port))
        if target is None:
            target = targets[address, port] = FlowDestination(address, port, filters.is_ownerless(address))
        place = cgroup, pod_uid, source, opened, target.ownerless
        group = groups.get(place)
        if group is None:
            owner = opened_owners[pod_uid] if pod_uid else owners.get(cgroup, UNKNOWN_OWNER)
            group = of_pods[SourceKey(owner, source, opened, target.ownerless)] if owner.kind == "pod" else of_others
            groups[place] = group
        group.flows.append(flow)
        group.targets.append(target)
        if cgroup not in no_pods and (first_ns < target.from_ns or last_ns > target.to_ns):
            target.from_ns = min(first_ns, target.from_ns)
            target.to_ns = max(last_ns, target.to_ns)
    source_queries = {
        key: Query(address=key.source, from_ns=min(group.column("first_ns")), to_ns=max(group.column("last_ns")))
        for key, group in of_pods.items()
        if not key.ownerless
    }
    return FlowGroups(capture, owners, list(targets.values()), dict(of_pods), of_others, source_queries)


def directory_queries(traffic: FlowGroups) -> list[Query]:
    """Return every question once: pods by UID, whose the sources' and listeners' addresses were, destinations.

    A destination is asked once, over the time in which flows used it that may have come from a pod.
    """
    capture, owners, others = traffic.capture, traffic.owners, traffic.of_others
    uids = {uid for key in traffic.of_pods for uid in key.owner.uids}
    uids |= {uid for entry in capture.accepted for uid in owners.get(entry.cgroup, UNKNOWN_OWNER).uids}
    by_address = dict.fromkeys(traffic.source_queries.values())
    by_address |= {
        pod_lookup.source_query(flow): None
        for flow, target in zip(others.flows, others.targets, strict=True)
        if not target.ownerless and pod_lookup.needs_address_lookup(owners.get(flow.cgroup, UNKNOWN_OWNER))
    }
    by_address |= dict.fromkeys(pod_lookup.listener_queries(capture, owners).values())
    by_address |= {
        pod_lookup.listener_query(entry): None
        for entry in capture.accepted
        if pod_lookup.needs_address_lookup(owners.get(entry.cgroup, UNKNOWN_OWNER))
        and not filters.is_ownerless(entry.remote)
    }
    asked = sorted(
        (target for target in traffic.targets if target.asked), key=lambda target: (target.address, target.port)
    )
    destinations = [Query(target.address, target.port, target.from_ns, target.to_ns) for target in asked]
    return [*(pod_lookup.uid_query(capture, uid) for uid in sorted(uids)), *by_address, *destinations]
