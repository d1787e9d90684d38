"""chaos/runner/faults/stress_and_network.py, destination.py, injectors/pods.py: settings to orders, orders to pods."""

from typing import Any

import pytest

from chaos.injector.order import InjectionOrder, read_order
from chaos.runner.faults.context import FaultContext
from chaos.runner.faults.stress_and_network import ORDERS
from chaos.runner.injectors.pods import injector_manifest, runner_pod
from chaos.runner.injectors.registry import Injectors
from chaos.runner.targets import TargetPod
from cluster_api.resources import ObjectName
from podsonar.errors import InputError

CART = {
    "spec": {
        "clusterIPs": ["10.96.0.7"],
        "ports": [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}],
    }
}
SLICES = [
    {
        "endpoints": [{"addresses": ["10.244.0.9"]}, {"addresses": ["10.244.1.4"]}],
        "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9091}],
    }
]


class ShopObjects:
    """Objects of a cluster that has one Service."""

    def get(self, name: ObjectName) -> dict[str, Any] | None:
        """The Service."""
        return CART if (name.namespace, name.name) == ("shop", "cart") else None

    def list(self, _resource: object, _namespace: str, selector: str) -> list[dict[str, Any]]:
        """Its slices."""
        assert selector == "kubernetes.io/service-name=cart"
        return SLICES


def order(fault: str, **settings: str) -> InjectionOrder:
    """The order of a fault."""
    context = FaultContext(ShopObjects(), lambda: 0.0, print)  # type: ignore[arg-type]
    return ORDERS[fault](context, settings)


@pytest.mark.parametrize(
    ("fault", "settings", "expected"),
    [
        ("pod-cpu-hog", {}, InjectionOrder("cpu-stress", "", 1)),
        ("pod-cpu-hog", {"CPU_CORES": "3", "CPU_LOAD": "50"}, InjectionOrder("cpu-stress", "", 1, workers=3, load=50)),
        ("pod-memory-hog", {"MEMORY_CONSUMPTION": "7"}, InjectionOrder("memory-stress", "", 1, bytes=7 << 20)),
        (
            "pod-network-loss",
            {"NETWORK_PACKET_LOSS_PERCENTAGE": "30", "DESTINATION_PORTS": "80,443"},
            InjectionOrder("packet-loss", "", 1, percent=30, ports=(80, 443)),
        ),
        ("pod-network-loss", {"ALL_TRAFFIC": "true"}, InjectionOrder("packet-loss", "", 1)),
        (
            "pod-network-partition",
            {"DESTINATION_IPS": "10.0.0.0/8"},
            InjectionOrder("packet-loss", "", 1, networks=("10.0.0.0/8",), partition=True),
        ),
        (
            "pod-network-latency",
            {"DESTINATION_PORTS": "80"},
            InjectionOrder("packet-delay", "", 1, milliseconds=2000, ports=(80,)),
        ),
        (
            "pod-network-latency",
            {"NETWORK_LATENCY": "200", "JITTER": "20", "ALL_TRAFFIC": "true"},
            InjectionOrder("packet-delay", "", 1, milliseconds=200, jitter=20),
        ),
        (
            "edge-latency",
            {"DESTINATION_SERVICE": "shop/cart", "DESTINATION_PORTS": "80", "NETWORK_LATENCY": "200"},
            InjectionOrder(
                "packet-delay",
                "",
                1,
                milliseconds=200,
                networks=("10.96.0.7", "10.244.0.9", "10.244.1.4"),
                ports=(80, 8080),
            ),
        ),
        ("pod-connect-refused", {"DESTINATION_PORTS": "80"}, InjectionOrder("connect-refusal", "", 1, ports=(80,))),
        ("pod-dns-error", {}, InjectionOrder("dns-failure", "", 1, ports=(53,))),
        (
            "pod-dns-error",
            {"TARGET_HOSTNAMES": '["cart.shop", "db.shop"]', "MATCH_SCHEME": "exact", "DESTINATION_PORTS": "5353"},
            InjectionOrder("dns-failure", "", 1, names=("cart.shop", "db.shop"), ports=(5353,)),
        ),
        (
            "pod-dns-error",
            {"TARGET_HOSTNAMES": "cart.shop, db.shop."},
            InjectionOrder("dns-failure", "", 1, names=("cart.shop", "db.shop."), ports=(53,)),
        ),
        (
            "edge-partition",
            {"DESTINATION_SERVICE": "shop/cart", "DESTINATION_PORTS": "80"},
            InjectionOrder(
                "packet-loss",
                "",
                1,
                networks=("10.96.0.7", "10.244.0.9", "10.244.1.4"),
                ports=(80, 8080),
                partition=True,
            ),
        ),
        (
            "edge-loss",
            {"DESTINATION_SERVICE": "shop/cart", "NETWORK_PACKET_LOSS_PERCENTAGE": "50"},
            InjectionOrder(
                "packet-loss",
                "",
                1,
                percent=50,
                networks=("10.96.0.7", "10.244.0.9", "10.244.1.4"),
                ports=(80, 8080, 9090, 9091),
            ),
        ),
    ],
)
def test_settings_become_an_order(fault: str, settings: dict[str, str], expected: InjectionOrder) -> None:
    """By the document's names and defaults; an edge is its Service's addresses and backends, on the ports of both."""
    assert order(fault, **settings) == expected


@pytest.mark.parametrize(
    ("fault", "settings", "expected"),
    [
        ("pod-cpu-hog", {"CPU_CORES": "many"}, "CPU_CORES is 'many'"),
        ("pod-cpu-hog", {"CPU_LOAD": "101"}, "CPU_LOAD is '101'"),
        ("pod-memory-hog", {"MEMORY_CONSUMPTION": "0"}, "MEMORY_CONSUMPTION is '0'"),
        ("pod-network-loss", {}, "expected DESTINATION_IPS"),
        ("pod-network-loss", {"ALL_TRAFFIC": "no"}, "expected DESTINATION_IPS"),
        ("pod-network-loss", {"DESTINATION_IPS": "cart"}, "DESTINATION_IPS has 'cart'"),
        ("pod-network-partition", {"DESTINATION_PORTS": "http"}, "DESTINATION_PORTS is 'http'"),
        ("pod-network-partition", {"DESTINATION_HOSTS": "no.such.host.invalid"}, "DESTINATION_HOSTS"),
        ("pod-connect-refused", {}, "expected DESTINATION_IPS"),
        ("pod-dns-error", {"TARGET_HOSTNAMES": "[cart]"}, "TARGET_HOSTNAMES is"),
        ("pod-dns-error", {"TARGET_HOSTNAMES": "cart..shop"}, "labels of 1 to 63"),
        ("pod-dns-error", {"TARGET_HOSTNAMES": ",".join("abcdefghi")}, "at most 8"),
        ("pod-dns-error", {"TARGET_HOSTNAMES": "cart", "MATCH_SCHEME": "substring"}, "MATCH_SCHEME is 'substring'"),
        ("edge-partition", {}, "DESTINATION_SERVICE"),
        ("edge-latency", {"NETWORK_LATENCY": "200"}, "DESTINATION_SERVICE"),
        ("pod-network-latency", {"NETWORK_LATENCY": "200"}, "expected DESTINATION_IPS"),
        ("pod-network-latency", {"ALL_TRAFFIC": "true", "NETWORK_LATENCY": "0"}, "NETWORK_LATENCY is '0'"),
        ("pod-network-latency", {"ALL_TRAFFIC": "true", "NETWORK_LATENCY": "10001"}, "whole number from 1 to 10000"),
        ("pod-network-latency", {"ALL_TRAFFIC": "true", "JITTER": "2001"}, "JITTER is '2001'"),
        ("edge-partition", {"DESTINATION_SERVICE": "shop/none"}, "is not there"),
        ("edge-loss", {"DESTINATION_SERVICE": "shop/cart", "DESTINATION_PORTS": "81"}, "DESTINATION_PORTS has 81"),
    ],
)
def test_wrong_settings_say_which(fault: str, settings: dict[str, str], expected: str) -> None:
    """The name of the setting, before any pod is made."""
    with pytest.raises(InputError, match=expected):
        order(fault, **settings)


@pytest.mark.parametrize(
    ("kind", "capabilities"),
    [
        ("cpu-stress", {"drop": ["ALL"]}),
        ("memory-stress", {"drop": ["ALL"]}),
        ("container-kill", {"drop": ["ALL"]}),
        ("packet-loss", {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN"]}),
        ("connect-refusal", {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN"]}),
        ("dns-failure", {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN"]}),
        ("packet-delay", {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN"]}),
    ],
)
def test_injector_has_what_its_fault_needs_and_nothing_more(kind: Any, capabilities: dict[str, list[str]]) -> None:
    """No API token, no namespace of the host, one host path; owned by the Deployment; ended by the kubelet.

    A delay alone has the node's network, and the device of TAPs.
    """
    container = {"image": "registry/podsonar-collector:1", "imagePullPolicy": "Never"}
    deployment = {
        "metadata": {"namespace": "hce", "name": "run-1", "uid": "u-1"},
        "spec": {"template": {"spec": {"containers": [container], "imagePullSecrets": [{"name": "pull"}]}}},
    }
    runner = runner_pod(deployment, "http://run-1.hce:8000", "r-1")
    injector = Injectors().add()
    wanted = InjectionOrder(kind, "6a8e5a7b-b580-4fdf-8c85-d87c59e1e478", 60, container="a" * 64)
    pod = injector_manifest(runner, "step", injector, TargetPod("shop", "cart-1", wanted.pod, "node-b", "o"), wanted)
    spec = pod["spec"]
    assert pod["metadata"]["ownerReferences"] == [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "run-1", "uid": "u-1"}
    ]
    assert (spec["nodeName"], spec["restartPolicy"], spec["activeDeadlineSeconds"]) == ("node-b", "Never", 150)
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostIPC", "serviceAccountName"} & set(spec)
    is_delay = kind == "packet-delay"
    paths = ["/sys/fs/cgroup", *(["/dev/net/tun"] if is_delay else [])]
    assert [one["hostPath"]["path"] for one in spec["volumes"]] == paths
    network = (spec.get("hostNetwork"), spec.get("dnsPolicy"))
    assert network == ((True, "ClusterFirstWithHostNet") if is_delay else (None, None))
    (made,) = spec["containers"]
    assert {one["name"] for one in made["volumeMounts"]} == {one["name"] for one in spec["volumes"]}
    security = made["securityContext"]
    assert security["capabilities"] == capabilities
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert (made["image"], made["imagePullPolicy"]) == ("registry/podsonar-collector:1", "Never")
    given = {one["name"]: one["value"] for one in made["env"]}
    if kind in {"cpu-stress", "memory-stress", "container-kill"}:
        assert read_order(given["PODSONAR_INJECTION"]) == wanted


def test_injector_that_is_none_of_ours_is_told_nothing() -> None:
    """By id and token; a state only goes forward, and the first end stays."""
    injectors = Injectors()
    one = injectors.add()
    assert injectors.hear(one.id, "wrong", {"state": "ready"}) is None
    assert injectors.hear("other", one.token, {"state": "ready"}) is None
    assert injectors.hear(one.id, one.token, {"state": "dancing"}) is None
    assert injectors.hear(one.id, one.token, {"state": "held"}) == "wait"
    injectors.command([one], "release")
    assert injectors.hear(one.id, one.token, {"state": "ready"}) == "release"
    assert one.state == "held"
    injectors.hear(one.id, one.token, {"state": "released", "by": "G2", "counters": {"hit": 3, "x": "y"}})
    injectors.hear(one.id, one.token, {"state": "failed", "message": "late"})
    assert (one.state, one.by, one.counters, one.message) == ("released", "G2", {"hit": 3.0}, "")
