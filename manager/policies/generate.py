"""Policies that allow what was observed, and nothing else. Pure.

Each namespace gets a policy that denies by default, and one per workload (or one for all of it) with the rules. A rule
has its evidence beside it: the edges that it was made of.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from manager.policies.observed import Observed, ObservedPod, PodFlow
from manager.service_map.vertex_labels import REVISION_LABELS

NAMESPACE_NAME = "kubernetes.io/metadata.name"  # set by the API server on every namespace since 1.21
DEFAULT_DENY = "podsonar-default-deny"
Per = Literal["workload", "namespace"]


class Subject(NamedTuple):
    """What a policy selects: a workload of a namespace, or all of it (no workload)."""

    namespace: str
    workload: str


class Rule(NamedTuple):
    """Whom a policy allows at a port, and why."""

    direction: str
    peer: tuple[str, ...]  # ("pods", namespace, workload) or ("address", address)
    protocol: str
    port: int


class GeneratedPolicy(NamedTuple):
    """A policy as the API server takes it, the evidence of each rule, and what a reader should know."""

    body: dict[str, Any]
    evidence: dict[tuple[str, int], list[str]]
    notes: list[str]


def generate_policies(
    observed: Observed, namespaces: Iterable[str], per: Per = "workload"
) -> Iterator[GeneratedPolicy]:
    """The policies of some namespaces that let every observed connection through."""
    wanted = sorted(set(namespaces))
    rules: dict[Subject, dict[Rule, set[str]]] = {}
    for flow in observed.flows:
        for subject, rule in rules_of(observed, flow, per):
            if subject.namespace in wanted:
                rules.setdefault(subject, {}).setdefault(rule, set()).add(f"{flow.edge} ({flow.attempts} attempts)")
    for namespace in wanted:
        yield default_deny(namespace)
        for subject in sorted(one for one in rules if one.namespace == namespace):
            yield policy_of(observed, subject, rules[subject], per)


def rules_of(observed: Observed, flow: PodFlow, per: Per) -> Iterator[tuple[Subject, Rule]]:
    """The rules that let a flow through: egress of its sources, ingress of its destinations."""
    for name in flow.sources:
        source = observed.pods[name]
        for far, port in flow.destinations:
            destination = observed.pods.get(far) if flow.to_pods else None
            if source == destination:
                continue
            if not source.host_network:
                for peer in peers_of(destination, far, per):
                    yield subject_of(source, per), Rule("egress", peer, flow.protocol, port)
            if destination is not None and not destination.host_network:
                if source.host_network and source.node == destination.node:
                    continue  # what comes from a pod's own node always reaches it
                for peer in peers_of(source, "", per):
                    yield subject_of(destination, per), Rule("ingress", peer, flow.protocol, port)


def subject_of(pod: ObservedPod, per: Per) -> Subject:
    """What a policy for this pod selects."""
    return Subject(pod.namespace, pod.workload if per == "workload" else "")


def peers_of(pod: ObservedPod | None, address: str, per: Per) -> list[tuple[str, ...]]:
    """Who a far end is to a rule: a pod, or an address alone; of a pod on its node's network the node's addresses."""
    if pod is None:
        return [("address", address)]
    if pod.host_network:
        return [("address", ip) for ip in pod.ips]
    return [("pods", pod.namespace, pod.workload if per == "workload" else "")]


def stable_labels(observed: Observed, namespace: str, workload: str) -> dict[str, str]:
    """The labels that all pods of a workload have, without those of one pod or rollout."""
    pods = [one for one in observed.pods.values() if (one.namespace, one.workload) == (namespace, workload)]
    common = set.intersection(*(set(pod.labels.items()) for pod in pods)) if pods else set()
    return dict(sorted(pair for pair in common if pair[0] not in REVISION_LABELS))


def selector_of(observed: Observed, namespace: str, workload: str) -> dict[str, Any]:
    """The selector of a workload's pods; of all pods where there is no workload, or no label to tell it by."""
    labels = stable_labels(observed, namespace, workload) if workload else {}
    return {"matchLabels": labels} if labels else {}


def also_selected(observed: Observed, subject: Subject) -> list[str]:
    """The other workloads whose pods the subject's selector selects as well."""
    labels = stable_labels(observed, *subject).items()
    others = {
        one.workload
        for one in observed.pods.values()
        if one.namespace == subject.namespace and one.workload != subject.workload and labels <= one.labels.items()
    }
    return sorted(others)


def default_deny(namespace: str) -> GeneratedPolicy:
    """The policy that isolates every pod of a namespace, but for names: only TCP connects are observed."""
    names = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"to": [{"namespaceSelector": {}}], "ports": names}],
    }
    note = "port 53 is open to every pod of the cluster: names are asked for by UDP, which is not observed"
    return GeneratedPolicy(body_of(DEFAULT_DENY, namespace, spec), {}, [note])


def body_of(name: str, namespace: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as the API server takes it."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "podsonar"}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": dict(spec)}


def policy_of(observed: Observed, subject: Subject, rules: Mapping[Rule, set[str]], per: Per) -> GeneratedPolicy:
    """The policy of a subject: one rule per direction and far end, with all of its ports."""
    kind, _, name = subject.workload.partition("/")
    title = f"podsonar-{kind.lower()}-{name}"[:253].rstrip("-.") if per == "workload" else "podsonar-observed"
    spec: dict[str, Any] = {"podSelector": selector_of(observed, *subject), "policyTypes": ["Ingress", "Egress"]}
    evidence: dict[tuple[str, int], list[str]] = {}
    for direction, end in (("ingress", "from"), ("egress", "to")):
        by_peer: dict[tuple[str, ...], list[Rule]] = {}
        for rule in sorted(one for one in rules if one.direction == direction):
            by_peer.setdefault(rule.peer, []).append(rule)
        listed = []
        for number, (peer, own) in enumerate(by_peer.items()):
            ports = [{"protocol": rule.protocol, "port": rule.port} for rule in own]
            listed.append({end: [peer_body(observed, peer, subject.namespace)], "ports": ports})
            evidence[direction, number] = sorted(set().union(*(rules[rule] for rule in own)))
        if listed:
            spec[direction] = listed
    notes = []
    others = also_selected(observed, subject) if per == "workload" else []
    if others:
        notes.append(f"no label tells the pods of {subject.workload} from those of {', '.join(others)}")
    return GeneratedPolicy(body_of(title, subject.namespace, spec), evidence, notes)


def peer_body(observed: Observed, peer: tuple[str, ...], namespace: str) -> dict[str, Any]:
    """A far end as a rule has it."""
    if peer[0] == "address":
        return {"ipBlock": {"cidr": f"{peer[1]}/{128 if ':' in peer[1] else 32}"}}
    found: dict[str, Any] = {"podSelector": selector_of(observed, peer[1], peer[2])}
    if peer[1] != namespace:
        found = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: peer[1]}}} | found
    return found
