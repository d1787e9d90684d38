"""Network policies are rendered by default and narrow: who may reach whom, by port, in both directions."""

from typing import Any

import pytest

from tests.deploy.conftest import Chart, Object, only, pod

SCRAPER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def component(name: str) -> Object:
    """The peer that is one component of the release."""
    labels = {"name": "podsonar", "instance": "podsonar", "component": name}
    return {"podSelector": {"matchLabels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()}}}


RELEASE = {
    "podSelector": {
        "matchLabels": {"app.kubernetes.io/instance": "podsonar", "app.kubernetes.io/part-of": "podsonar"},
    }
}


def by_port(rules: list[Object], side: str) -> dict[Any, list[Object] | None]:
    """The peers of each port of a policy's rules; None: anybody."""
    return {port["port"]: rule.get(side) for rule in rules for port in rule["ports"]}


def policy(objects: list[Object], name: str) -> Object:
    """The spec of one component's policy."""
    spec: Object = only(objects, "NetworkPolicy", f"-{name}")["spec"]
    return spec


def test_each_component_lets_in_who_needs_it_and_nobody_else(objects: list[Object]) -> None:
    """The directory is the agents', the manager the release's, metrics the scraper's; every rule names who."""
    test = component("test")
    assert {
        name: by_port(policy(objects, name)["ingress"], "from") for name in ("collector", "node-agent", "manager")
    } == {
        "collector": {"directory": [component("node-agent")], "metrics": [SCRAPER]},
        "node-agent": {"metrics": [SCRAPER]},
        "manager": {"http": [RELEASE], "metrics": [SCRAPER, test]},
    }


def test_each_component_reaches_what_it_needs_and_nothing_else(objects: list[Object]) -> None:
    """Only the API server is named by its ports alone; the manager on a volume reaches nothing."""
    policies = {name: policy(objects, name) for name in ("collector", "node-agent", "manager")}
    assert all(spec["policyTypes"] == ["Ingress", "Egress"] for spec in policies.values())
    reached = {name: by_port(spec["egress"], "to") for name, spec in policies.items()}
    dns = reached["collector"].pop(53)
    assert dns == reached["node-agent"].pop(53)
    assert {frozenset(peer) for peer in dns or []} == {
        frozenset({"namespaceSelector", "podSelector"}),
        frozenset({"ipBlock"}),
    }
    assert reached == {
        "collector": {8080: [component("manager")], 443: None, 6443: None},
        "node-agent": {8080: [component("manager")], 8766: [component("collector")]},
        "manager": {},
    }


def test_every_peer_outside_the_release_can_be_named(chart: Chart) -> None:
    """API server, database and external manager: with values for them no rule is left that names ports alone."""
    stored = chart.template("-f", str(chart.folder / "ci/postgresql-values.yaml"))
    elsewhere = chart.template(
        "-f",
        str(chart.folder / "ci/external-values.yaml"),
        "--set",
        "networkPolicy.apiServerTo[0].ipBlock.cidr=10.0.0.1/32",
    )
    rules = [
        (one["metadata"]["name"], side, rule)
        for one in (*stored, *elsewhere)
        if one["kind"] == "NetworkPolicy"
        for side, key in (("from", "ingress"), ("to", "egress"))
        for rule in one["spec"][key]
    ]
    assert [(name, rule) for name, side, rule in rules if not rule.get(side)] == []
    assert by_port(policy(stored, "manager")["egress"], "to")[5432] == [
        {"podSelector": {"matchLabels": {"app": "postgresql"}}}
    ]
    assert by_port(policy(elsewhere, "node-agent")["egress"], "to")[8443] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_runners_that_are_named_reach_the_directory_beside_the_node_agents(chart: Chart) -> None:
    """Nobody else orders windows."""
    named = ["--set", "networkPolicy.ordersFrom[0].podSelector.matchLabels.app=runner"]
    peers = by_port(policy(chart.template(*named), "collector")["ingress"], "from")["directory"]
    assert peers == [component("node-agent"), {"podSelector": {"matchLabels": {"app": "runner"}}}]
    assert by_port(policy(chart.template(), "collector")["ingress"], "from")["directory"] == [component("node-agent")]


def test_nobody_scrapes_if_nobody_is_named(chart: Chart) -> None:
    """An empty list of peers would mean everybody in a NetworkPolicy: the rule is left out instead."""
    rendered = chart.template("--set", "networkPolicy.metricsFrom=null")
    assert policy(rendered, "node-agent")["ingress"] == []
    assert set(by_port(policy(rendered, "collector")["ingress"], "from")) == {"directory"}
    assert by_port(policy(rendered, "manager")["ingress"], "from")["metrics"] == [component("test")]


def test_openshift_is_asked_for_names_where_its_dns_listens(chart: Chart) -> None:
    """Port 5353 of namespace openshift-dns, beside the usual."""
    found = by_port(policy(chart.template("--set", "openshift.enabled=true"), "collector")["egress"], "to")
    assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}} in found[5353]


@pytest.mark.parametrize("service", ["podsonar-manager", "podsonar-manager-metrics"])
def test_metrics_leave_by_no_service_that_may_be_exposed(chart: Chart, service: str) -> None:
    """As a load balancer the manager's Service has the API alone; metrics have a Service inside the cluster."""
    values = "manager.service.type=LoadBalancer,networkPolicy.managerFrom[0].ipBlock.cidr=10.0.0.0/8"
    (spec,) = [
        one["spec"]
        for one in chart.template("--set", values)
        if one["kind"] == "Service" and one["metadata"]["name"] == service
    ]
    exposed = service == "podsonar-manager"
    assert spec["type"] == ("LoadBalancer" if exposed else "ClusterIP")
    assert [port["targetPort"] for port in spec["ports"]] == ["http" if exposed else "metrics"]


def test_manager_with_a_certificate_is_pushed_to_by_https(chart: Chart) -> None:
    """Certificate and key reach the manager alone; the agents get the authority and verify the Service's name."""
    rendered = chart.template("-f", str(chart.folder / "ci/everything-values.yaml"))
    secrets = {
        name: {
            one["secret"]["secretName"]: [item["key"] for item in one["secret"]["items"]]
            for one in pod(only(rendered, kind, f"-{name}"))["volumes"]
            if "secret" in one
        }
        for kind, name in (("Deployment", "manager"), ("DaemonSet", "node-agent"), ("Deployment", "collector"))
    }
    assert secrets["manager"]["manager-tls"] == ["tls.crt", "tls.key"]
    assert secrets["node-agent"]["manager-tls"] == secrets["collector"]["manager-tls"] == ["ca.crt"]
    for name in ("node-agent", "collector"):
        config = only(rendered, "ConfigMap", f"-{name}")["data"]["config.yaml"]
        assert 'url: "https://podsonar-manager.observe.svc:8080"' in config
        assert "caFile: /etc/podsonar/authority/ca.crt" in config
