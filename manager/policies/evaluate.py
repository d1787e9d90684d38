"""Whether policies let a connection through, exactly as NetworkPolicy is specified. Pure.

A pod that no policy selects in a direction is open in it. One that is selected lets through what a rule of any of these
policies allows. A connection needs both: egress of its source and ingress of its destination. A pod always reaches
itself; what comes from a pod's own node always reaches it; pods on their node's network are no pods to policies, they
are the node's address. https://kubernetes.io/docs/concepts/services-networking/network-policies/
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from manager.policies.observed import Observed, ObservedPod, PodFlow
from manager.policies.policy_schema import EgressRule, IngressRule, Peer, Policy, PolicyPort, Selector


class End(NamedTuple):
    """An end of a connection: a pod, or an address alone."""

    pod: ObservedPod | None
    addresses: tuple[str, ...]


class Blocked(NamedTuple):
    """A connection that policies would have blocked, and in which direction; `by` are the policies that isolate."""

    flow: PodFlow
    source: str
    destination: str
    port: int
    direction: str
    by: list[str]


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a selector selects those labels (apimachinery, labels/selector.go)."""
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    for one in selector.match_expressions or ():
        values = one.values or []
        fits = {
            "In": one.key in labels and labels[one.key] in values,
            "NotIn": one.key not in labels or labels[one.key] not in values,
            "Exists": one.key in labels,
            "DoesNotExist": one.key not in labels,
        }
        if not fits[one.operator]:
            return False
    return True


def port_fits(ports: Sequence[PolicyPort] | None, number: int, protocol: str, at: ObservedPod | None) -> bool:
    """Whether a rule's ports have a port; `at` is the pod that listens there, whose port names count."""
    if not ports:
        return True
    for one in ports:
        if one.protocol != protocol:
            continue
        if one.port is None:
            return True
        if isinstance(one.port, str):
            if at is not None and at.ports.get(f"{one.port}/{protocol}") == number:
                return True
        elif one.port <= number <= (one.end_port or one.port):
            return True
    return False


def peer_fits(peer: Peer, end: End, namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a peer of a policy in that namespace is the far end."""
    if peer.ip_block is not None:
        whole = ipaddress.ip_network(peer.ip_block.cidr)
        without = [ipaddress.ip_network(one) for one in peer.ip_block.except_ or ()]
        for text in end.addresses:
            address = ipaddress.ip_address(text)
            if address in whole and not any(address in one for one in without):
                return True
        return False
    pod = end.pod
    if pod is None or pod.host_network:
        return False
    if peer.namespace_selector is None:
        if pod.namespace != namespace:
            return False
    elif not selects(peer.namespace_selector, namespaces.get(pod.namespace, {})):
        return False
    return peer.pod_selector is None or selects(peer.pod_selector, pod.labels)


class Evaluator:
    """Policies over the pods and namespaces that were observed."""

    def __init__(self, policies: Iterable[Policy], observed: Observed) -> None:
        self.policies = list(policies)
        self.observed = observed
        self.by_address = {ip: pod for pod in observed.pods.values() for ip in pod.ips if not pod.host_network}

    def end(self, name: str, *, is_pod: bool) -> End:
        """A pod by its name, or an address, which may be a pod's."""
        pod = self.observed.pods.get(name) if is_pod else self.by_address.get(name)
        if pod is not None:
            return End(pod, tuple(pod.ips))
        return End(None, () if is_pod else (name,))

    def isolating(self, pod: ObservedPod | None, direction: str) -> list[Policy]:
        """The policies that isolate a pod in a direction."""
        if pod is None or pod.host_network:
            return []
        return [
            one
            for one in self.policies
            if one.metadata.namespace == pod.namespace
            and one.spec.isolates("Ingress" if direction == "ingress" else "Egress")
            and selects(one.spec.pod_selector, pod.labels)
        ]

    def lets_through(self, policy: Policy, direction: str, far: End, port: int, protocol: str, at: End) -> bool:
        """Whether a rule of the policy allows it."""
        spec = policy.spec
        rules: Sequence[IngressRule | EgressRule] = (spec.ingress if direction == "ingress" else spec.egress) or ()
        return any(
            port_fits(rule.ports, port, protocol, at.pod)
            and (
                not rule.peers
                or any(peer_fits(peer, far, policy.metadata.namespace, self.observed.namespaces) for peer in rule.peers)
            )
            for rule in rules
        )

    def blocked_in(self, source: End, destination: End, port: int, protocol: str) -> Iterator[tuple[str, list[str]]]:
        """The directions in which a connection is blocked, each with the policies that isolate."""
        if source.pod is not None and source.pod == destination.pod:
            return
        for direction, own, far in (("egress", source, destination), ("ingress", destination, source)):
            if direction == "ingress" and is_own_node(source, destination):
                continue
            isolating = self.isolating(own.pod, direction)
            allowed = any(self.lets_through(one, direction, far, port, protocol, destination) for one in isolating)
            if isolating and not allowed:
                yield direction, [one.key for one in isolating]

    def blocked(self) -> Iterator[Blocked]:
        """Every observed connection that the policies would have blocked, once per direction."""
        for flow in self.observed.flows:
            for name in flow.sources:
                source = self.end(name, is_pod=True)
                for far, port in flow.destinations:
                    destination = self.end(far, is_pod=flow.to_pods)
                    for direction, by in self.blocked_in(source, destination, port, flow.protocol):
                        yield Blocked(flow, name, far, port, direction, by)


def is_own_node(source: End, destination: End) -> bool:
    """Whether a connection comes from the destination pod's own node: from a pod on its network."""
    pod, other = destination.pod, source.pod
    return pod is not None and other is not None and other.host_network and other.node == pod.node
