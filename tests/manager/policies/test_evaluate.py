"""manager/policies: exactly what NetworkPolicy says, by the document's examples and by an independent evaluator."""

import os
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manager.policies.evaluate import Evaluator
from manager.policies.generate import generate_policies
from manager.policies.observed import Observed, ObservedPod, PodFlow
from manager.policies.policy_schema import read_policies
from manager.policies.policy_yaml import to_yaml
from podsonar.errors import InputError
from tests.manager.policies.reference_evaluator import passing

EXAMPLES = int(os.environ.get("PODSONAR_EXAMPLES", "60"))
PORTS = [80, 443, 8080, 8081, 9000]
SPACES = {
    "a": {"kubernetes.io/metadata.name": "a", "env": "prod"},
    "b": {"kubernetes.io/metadata.name": "b", "env": "test"},
    "c": {},
}


def pod(place: int, space: str, labels: dict[str, str], *, host: bool = False) -> ObservedPod:
    """A pod that listens on two named ports."""
    ports = {"http/TCP": 8080 if place % 2 else 80, "admin/TCP": 9000}
    ips, workload = [f"10.0.{place % 3}.{place}"], f"Deployment/d-{place}"
    return ObservedPod(space, f"p-{place}", labels, ips, ports, f"node-{place % 2}", host, workload)


def world_of(pods: list[ObservedPod], addresses: list[str]) -> dict[str, Any]:
    """The same ends for the other evaluator."""
    ends: dict[str, Any] = {
        one.key: {
            "pod": True,
            "space": one.namespace,
            "labels": one.labels,
            "ips": one.ips,
            "ports": {name.removesuffix("/TCP"): number for name, number in one.ports.items()},
            "host": one.host_network,
            "node": one.node,
        }
        for one in pods
    }
    outside = {"pod": False, "space": "", "labels": {}, "ports": {}, "host": False, "node": None}
    return {"ends": ends | {ip: outside | {"ips": [ip]} for ip in addresses}, "spaces": SPACES}


def every_flow(pods: list[ObservedPod], addresses: list[str]) -> list[PodFlow]:
    """A flow between every two ends at every port."""
    names = [one.key for one in pods]
    flows = []
    for port in PORTS:
        flows.append(PodFlow("e", names, [(name, port) for name in names], to_pods=True, attempts=1))
        flows.append(PodFlow("e", names, [(ip, port) for ip in addresses], to_pods=False, attempts=1))
    return flows


LABELS = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y", "z"]), max_size=2)
EXPRESSIONS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["app", "tier", "env"]),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(["x", "y", "prod"]), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries(
        {"key": st.sampled_from(["app", "tier", "env"]), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
    ),
)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSIONS, max_size=2)}
)
BLOCKS = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "10.0.1.0/24", "except": ["10.0.1.0/30"]},
        {"cidr": "203.0.113.0/24"},
        {"cidr": "2001:db8::/32"},
    ]
)
PEERS = st.one_of(
    st.fixed_dictionaries({"ipBlock": BLOCKS}),
    st.fixed_dictionaries({"podSelector": SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SELECTORS}),
    st.fixed_dictionaries({"podSelector": SELECTORS, "namespaceSelector": SELECTORS}),
)
RULE_PORTS = st.sampled_from(
    [
        {"port": 80},
        {"protocol": "TCP", "port": 443},
        {"protocol": "UDP", "port": 80},
        {"protocol": "UDP"},
        {"protocol": "TCP"},
        {"port": "http"},
        {"port": "nobody"},
        {"port": 8080, "endPort": 8090},
        {"port": 443, "endPort": 443},
    ]
)


ELSEWHERE = {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}


def rules(end: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules of one direction."""
    rule = st.fixed_dictionaries(
        {}, optional={end: st.lists(PEERS, max_size=2), "ports": st.lists(RULE_PORTS, max_size=2)}
    )
    return st.lists(rule, max_size=2)


POLICIES = st.fixed_dictionaries(
    {
        "apiVersion": st.just("networking.k8s.io/v1"),
        "kind": st.just("NetworkPolicy"),
        "metadata": st.fixed_dictionaries({"name": st.just("p"), "namespace": st.sampled_from(list(SPACES))}),
        "spec": st.fixed_dictionaries(
            {"podSelector": SELECTORS},
            optional={
                "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
                "ingress": rules("from"),
                "egress": rules("to"),
            },
        ),
    }
)
PODS = st.lists(st.tuples(st.sampled_from(list(SPACES)), LABELS, st.booleans()), min_size=2, max_size=5)
ADDRESSES = ["203.0.113.7", "10.0.1.2", "198.51.100.1", "2001:db8::5"]


def blocked_set(policies: list[dict[str, Any]], observed: Observed) -> set[tuple[str, str, int]]:
    """What our evaluator says is blocked."""
    read = read_policies(yaml.safe_dump_all(policies), "test") if policies else []
    return {(one.source, one.destination, one.port) for one in Evaluator(read, observed).blocked()}


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(POLICIES, max_size=4), PODS)
def test_two_evaluators_agree_on_every_connection(policies: list[dict[str, Any]], made: list[Any]) -> None:
    """Random policies, pods, namespaces and addresses: the same connections pass."""
    pods = [pod(n, space, labels, host=host and n == 0) for n, (space, labels, host) in enumerate(made)]
    free = [ip for ip in ADDRESSES if all(ip not in one.ips for one in pods)]
    observed = Observed(["w"], {one.key: one for one in pods}, SPACES, every_flow(pods, free))
    reference = passing(policies, world_of(pods, free), PORTS)
    names = [one.key for one in pods]
    asked = {(a, b, port) for a in names for b in [*names, *free] for port in PORTS}
    assert asked - blocked_set(policies, observed) == asked & reference


@settings(max_examples=EXAMPLES, deadline=None)
@given(PODS, st.data(), st.sampled_from(["workload", "namespace"]))
def test_generated_policies_let_everything_observed_through(made: list[Any], data: st.DataObject, per: Any) -> None:
    """Round trip by both evaluators; and with a workload each, a connection that was not observed is blocked."""
    pods = [
        pod(n, space, labels | {"id": str(n)}, host=host and n == 0) for n, (space, labels, host) in enumerate(made)
    ]
    names = [one.key for one in pods]
    far = st.sampled_from([*names, *ADDRESSES[:1]])
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(names), far, st.sampled_from(PORTS)), max_size=6))
    flows = [PodFlow("e", [a], [(b, port)], to_pods=b in names, attempts=1) for a, b, port in pairs]
    spaces = {name: labels | {"kubernetes.io/metadata.name": name} for name, labels in SPACES.items()}
    observed = Observed(["w"], {one.key: one for one in pods}, spaces, flows)
    text = to_yaml(generate_policies(observed, spaces, per), ["test"])
    policies = [one for one in yaml.safe_load_all(text) if one]
    assert blocked_set(policies, observed) == set()
    world = world_of(pods, ADDRESSES[:1]) | {"spaces": spaces}
    assert set(pairs) <= passing(policies, world, PORTS)
    whole = msgspec.structs.replace(observed, flows=every_flow(pods, ADDRESSES[:1]))
    passes = {(a, b, p) for a in names for b in names for p in PORTS} - blocked_set(policies, whole)
    by_name = {one.key: one for one in pods}
    for source, target, port in passes:
        free = source == target or (by_name[target].host_network and by_name[source].host_network)
        free = free or (by_name[source].host_network and by_name[source].node == by_name[target].node)
        if per == "workload" and not free:
            assert (source, target, port) in pairs or by_name[source].host_network or by_name[target].host_network


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kind": "Pod"}, "expected kind NetworkPolicy"),
        ({"apiVersion": "v1"}, "expected networking.k8s.io/v1"),
        ({"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}, "wrong values"),
        ({"spec": {"podSelector": {}, "ingres": []}}, "ingres"),
        ({"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}}, "either ipBlock"),
        ({"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1/8"}}]}]}}, "host bits"),
        (
            {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": ELSEWHERE}]}]}},
            "is no part of",
        ),
        ({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 0}]}]}}, "expected 1 to 65535"),
        ({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": "http", "endPort": 90}]}]}}, "endPort 90"),
        ({"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 100, "endPort": 90}]}]}}, "endPort 90"),
        (
            {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}},
            "Near",
        ),
    ],
)  # fmt: skip
def test_what_the_api_server_refuses_is_refused(change: dict[str, Any], text: str) -> None:
    """With the document's place."""
    document = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    document |= {"spec": {"podSelector": {}}}
    with pytest.raises(InputError, match=r"file, document 1.*") as raised:
        read_policies(yaml.safe_dump(document | change), "file")
    assert text in str(raised.value)


def test_hostile_labels_and_edges_stay_text_in_yaml() -> None:
    """Read back, the selector is the label; no evidence ends its comment."""
    hostile = 'x"\n- evil: true # \u2028'
    one = ObservedPod("a", "p", {"app": hostile}, ["10.0.0.1"], {}, "n", False, "Deployment/d\nkind: Pod")
    other = ObservedPod("a", "q", {"app": "q"}, ["10.0.0.2"], {}, "n", False, "Deployment/q")
    flows = [PodFlow("bad\nkind: Secret", ["a/p"], [("a/q", 80)], to_pods=True, attempts=1)]
    observed = Observed(["w\nkind: Pod"], {"a/p": one, "a/q": other}, SPACES, flows)
    text = to_yaml(generate_policies(observed, ["a"]), ["head\nkind: Pod"])
    documents = [found for found in yaml.safe_load_all(text) if found]
    assert {found["kind"] for found in documents} == {"NetworkPolicy"}
    assert hostile in [found["spec"]["podSelector"].get("matchLabels", {}).get("app") for found in documents]
    assert len(documents) == 3
