"""Network policies on a real API server, by dry run: it takes what is generated, and refuses what we refuse."""

import random
from typing import Any

import pytest
import yaml

from manager.policies.generate import generate_policies
from manager.policies.observed import Observed, ObservedPod, PodFlow
from manager.policies.policy_schema import read_policies
from manager.policies.policy_yaml import to_yaml
from podsonar.errors import InputError
from tests.cluster.conftest import Crowd

pytestmark = pytest.mark.cluster


def dry_run(crowd: Crowd, policy: dict[str, Any]) -> int:
    """The status with which the API server answers a policy that it does not keep."""
    path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    metadata = policy["metadata"] | {"namespace": "default"}
    return crowd.plane.client.post(path, params=query, json=policy | {"metadata": metadata}).status_code


def random_cluster(dice: random.Random) -> Observed:
    """Pods with labels as the API server takes them, and connections between them."""
    pods = {}
    for number in range(12):
        labels = {"app": f"app-{number % 5}", "example.com/tier": dice.choice(["", "web", "db_1", "x.Y-z"])}
        host = number == 11
        one = ObservedPod(
            f"ns-{number % 3}", f"p-{number}", labels, [f"10.0.0.{number}", f"fd00::{number}"], {}, "n", host,
            f"{dice.choice(['Deployment', 'StatefulSet', 'Pod'])}/w-{number % 5}",
        )  # fmt: skip
        pods[one.key] = one
    names = list(pods)
    flows = [
        PodFlow("e", [dice.choice(names)], [(dice.choice(names), dice.randrange(1, 65536))], to_pods=True, attempts=1)
        for _ in range(30)
    ]
    flows += [
        PodFlow("e", [dice.choice(names)], [(address, 443)], to_pods=False, attempts=1)
        for address in ("203.0.113.9", "2001:db8::9")
    ]
    return Observed(["w"], pods, {f"ns-{n}": {} for n in range(3)}, flows)


@pytest.mark.parametrize("per", ["workload", "namespace"])
def test_generated_policies_are_taken(crowd: Crowd, per: Any) -> None:
    """Every one of three random clusters."""
    for seed in range(3):
        observed = random_cluster(random.Random(seed))  # noqa: S311
        text = to_yaml(generate_policies(observed, observed.namespaces, per), ["made by a test"])
        policies = [one for one in yaml.safe_load_all(text) if one]
        assert len(policies) > 3
        assert {dry_run(crowd, one) for one in policies} == {201}


SPECS: list[dict[str, Any]] = [
    {"podSelector": {}},
    {},
    {"podSelector": {}, "ingres": []},
    {"podSelector": {}, "policyTypes": ["Ingress", "Sideways"]},
    {"podSelector": {}, "ingress": [{}]},
    {"podSelector": {}, "ingress": [{"from": [{}]}]},
    {"podSelector": {}, "ingress": [{"from": []}]},
    {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]},
    {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]},
    {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.1.0.0/16"]}}]}]},
    {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}]},
    {"podSelector": {}, "egress": [{"to": [{"ipBlock": {"cidr": "nonsense"}}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 80}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 0}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 65536}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 80, "endPort": 90}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 90, "endPort": 80}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": "http", "endPort": 80}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"endPort": 80}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"port": 80, "protocol": "ICMP"}]}]},
    {"podSelector": {}, "egress": [{"ports": [{"protocol": "SCTP"}]}]},
    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x"]}]}},
    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}},
    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
    {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_what_is_refused_is_what_the_api_server_refuses(crowd: Crowd, spec: dict[str, Any]) -> None:
    """Neither more nor less, of a table of specs."""
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    taken = dry_run(crowd, policy) == 201
    try:
        read_policies(yaml.safe_dump(policy), "file")
    except InputError:
        assert not taken
    else:
        assert taken
