"""The directory names the owner of an address at a time, or answers that it is not certain; it never names another."""

from typing import Any

import pytest

from directory.from_inventory import directory_from_inventory
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Answer, Query
from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND, rfc3339

NODE = "192.168.0.1"
END = 10_000


def at(second: int) -> int:
    """Nanoseconds of a second."""
    return second * NS_PER_SECOND


def pod(uid: str, address: str, start: int, **changes: Any) -> dict[str, Any]:
    """A pod that started at a second."""
    status = {"podIP": address, "phase": changes.pop("phase", "Running"), "startTime": rfc3339(at(start))}
    return {
        "metadata": {"name": uid, "namespace": "shop", "uid": uid, "annotations": changes.pop("annotations", {})},
        "spec": {"nodeName": "n1", **changes},
        "status": status,
    }


def service(uid: str, ports: list[dict[str, Any]], *, ingress: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    """A service that began with time."""
    return {
        "metadata": {"name": uid, "namespace": "shop", "uid": uid},
        "spec": {"ports": ports, **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": address} for address in ingress or []]}},
    }


def cluster() -> Directory:
    """One node, services of every sort, pods of every sort."""
    directory = Directory(Selection(orphaned=True))
    node = {
        "metadata": {"name": "n1", "uid": "node-1"},
        "spec": {"podCIDRs": ["10.244.0.0/24", "fd00:10::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": NODE}, {"type": "Hostname", "address": "n1"}]},
    }
    directory.apply("Node", node, 0)
    web: list[dict[str, Any]] = [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]
    for one in (
        service("web", web, clusterIPs=["10.96.0.1", "fd00:96::1"], externalIPs=["203.0.113.1"]),
        service("edge", [{"port": 443}], clusterIP="10.96.0.2", ingress=["203.0.113.2", NODE]),
        service("headless", [{"port": 80}], clusterIP="None"),
    ):
        directory.apply("Service", one, 0)
    directory.apply("Pod", pod("first", "10.244.0.5", 100), at(100))
    directory.delete("Pod", "first", at(200))
    directory.apply("Pod", pod("second", "10.244.0.5", 300), at(300))
    directory.apply("Pod", pod("host", NODE, 100, hostNetwork=True), at(100))
    directory.apply("Pod", pod("done", "10.244.0.6", 100), at(100))
    directory.apply("Pod", pod("done", "10.244.0.6", 100, phase="Succeeded"), at(150))
    return directory


@pytest.mark.parametrize(
    ("address", "port", "start", "end", "kind", "name"),
    [
        ("10.96.0.1", 80, 500, 500, "Service", "web"),
        ("fd00:96:0::1", 80, 500, 500, "Service", "web"),
        ("203.0.113.1", 80, 500, 500, "Service", "web"),
        ("203.0.113.2", 443, 500, 500, "Service", "edge"),
        (NODE, 443, 500, 500, "Service", "edge"),
        (NODE, 30080, 500, 500, "Service", "web"),
        (NODE, 30053, 500, 500, "Node", "n1"),
        (NODE, 10250, 500, 500, "Node", "n1"),
        ("10.244.0.5", 8080, 150, 160, "Pod", "first"),
        ("10.244.0.5", 8080, 350, 360, "Pod", "second"),
        ("10.244.0.5", 8080, 250, 260, "Unknown", None),
        ("10.244.0.5", 8080, 150, 350, "Ambiguous", None),
        ("10.244.0.5", 8080, 101, 101, "Ambiguous", None),
        ("10.244.0.5", 8080, 102, 102, "Pod", "first"),
        ("10.244.0.5", 8080, 190, 190, "Pod", "first"),
        ("10.244.0.5", 8080, 191, 191, "Ambiguous", None),
        ("10.244.0.5", 8080, 202, 202, "Ambiguous", None),
        ("10.244.0.5", 8080, 203, 203, "Unknown", None),
        ("10.244.0.5", 8080, 190, 203, "Ambiguous", None),
        ("10.244.0.6", 8080, 120, 130, "Pod", "done"),
        ("10.244.0.6", 8080, 170, 180, "Unknown", None),
        ("10.244.0.77", 8080, 500, 500, "Unknown", None),
        ("fd00:10::9", 8080, 500, 500, "Unknown", None),
        ("198.51.100.7", 443, 500, 500, "External", None),
    ],
)
def test_address_at_a_time_has_its_owner(
    address: str, port: int, start: int, end: int, kind: str, name: str | None
) -> None:
    """Each sort of address is answered by its own rule, at the asked time."""
    answer = cluster().answer(Query(address, port, at(start), at(end)))
    assert (answer.kind, answer.name) == (kind, name)


@pytest.mark.parametrize(
    ("address", "kind", "reason"),
    [
        ("10.244.0.77", "Unknown", "no_owner_at_that_time"),
        ("fd00:10::9", "Unknown", "no_owner_at_that_time"),
        ("10.96.0.99", "Unknown", "cluster_range_unknown"),
        ("fd00:96::99", "Unknown", "cluster_range_unknown"),
        ("9.255.255.255", "External", None),
        ("10.0.0.0", "Unknown", "cluster_range_unknown"),
        ("10.255.255.255", "Unknown", "cluster_range_unknown"),
        ("11.0.0.0", "External", None),
        ("172.15.255.255", "External", None),
        ("172.16.0.0", "Unknown", "cluster_range_unknown"),
        ("172.31.255.255", "Unknown", "cluster_range_unknown"),
        ("172.32.0.0", "External", None),
        ("8.8.8.8", "External", None),
        ("2606:4700::1111", "External", None),
        ("64:ff9b::808:808", "External", None),
        ("192.168.255.255", "Unknown", "cluster_range_unknown"),
        ("192.169.0.0", "External", None),
        ("100.63.255.255", "External", None),
        ("100.64.0.0", "Unknown", "cluster_range_unknown"),
        ("100.127.255.255", "Unknown", "cluster_range_unknown"),
        ("100.128.0.0", "External", None),
        ("fc00::1", "Unknown", "cluster_range_unknown"),
        ("fdff:ffff::1", "Unknown", "cluster_range_unknown"),
        ("2001:db8::1", "External", None),
        ("198.51.100.7", "External", None),
    ],
)
def test_address_without_owner_is_external_only_where_no_cluster_has_its_own(
    address: str, kind: str, reason: str | None
) -> None:
    """The service range is in no object: a private address that nobody explains may be in it."""
    answer = cluster().answer(Query(address, 443, at(500), at(500)))
    assert (answer.kind, answer.reason) == (kind, reason)


def test_service_that_lost_an_address_is_not_named_afterwards() -> None:
    """An external address taken from a service is not the service's any more, but was."""
    directory = cluster()
    directory.apply("Service", service("web", [{"port": 80}], clusterIP="10.96.0.1"), at(600))
    assert directory.answer(Query("203.0.113.1", 80, at(700), at(700))).kind == "Unknown"
    assert directory.answer(Query("203.0.113.1", 80, at(500), at(500))).name == "web"
    assert directory.answer(Query(NODE, 30080, at(700), at(700))).kind == "Node"
    assert directory.answer(Query(NODE, 30080, at(500), at(500))).name == "web"


def test_address_of_a_gone_node_is_the_next_owners() -> None:
    """Where nodes and pods share a range, an address may go from one to the other."""
    directory = cluster()
    directory.delete("Node", "node-1", at(600))
    directory.apply("Pod", pod("third", NODE, 700), at(700))
    assert directory.answer(Query(NODE, 8080, at(800), at(800))).name == "third"
    assert directory.answer(Query(NODE, 8080, at(500), at(500))).kind == "Node"
    assert directory.answer(Query(NODE, 8080, at(500), at(800))).kind == "Ambiguous"


def with_status(obj: dict[str, Any], status: dict[str, Any], **meta: Any) -> dict[str, Any]:
    """The object with more in its status and metadata."""
    return {**obj, "metadata": {**obj["metadata"], **meta}, "status": {**obj["status"], **status}}


def named(directory: Directory, address: str, *seconds: int, port: int | None = 80) -> list[str | None]:
    """Who is named at each second; None for nobody."""
    return [directory.answer(Query(address, port, at(second), at(second))).name for second in seconds]


def test_pod_that_shares_its_nodes_address_is_not_named_for_it() -> None:
    """By host network, or by showing the address of its host: a node's address is never guessed to be a pod's."""
    directory = cluster()
    directory.apply("Pod", with_status(pod("odd", NODE, 100), {"hostIP": NODE}), at(100))
    assert directory.answer(Query(NODE, 8080, at(500), at(500))).kind == "Node"
    assert directory.answer(Query(pod_uid="host")).host_network


def test_dual_stack_pod_has_both_addresses() -> None:
    """Each family has its interval; an IPv4-mapped address is the IPv4 address."""
    directory = Directory()
    both = with_status(pod("both", "10.244.0.9", 100), {"podIPs": [{"ip": "10.244.0.9"}, {"ip": "fd00:10::9"}]})
    directory.apply("Pod", both, at(100))
    for address in ("10.244.0.9", "fd00:10::9", "fd00:10:0:0::9", "::ffff:10.244.0.9"):
        assert named(directory, address, 500) == ["both"]


def test_port_that_moved_between_services_of_one_address_is_each_ones_in_its_time() -> None:
    """Two services may share an external address; which one serves a port is a matter of time as well."""
    directory = Directory()
    old = service("old", [{"port": 80}, {"port": 81}], externalIPs=["203.0.113.1"], clusterIP="10.96.0.1")
    new = service("new", [{"port": 82}], externalIPs=["203.0.113.1"], clusterIP="10.96.0.2")
    for one in (old, new):
        directory.apply("Service", one, at(100))
    directory.apply("Service", {**old, "spec": {**old["spec"], "ports": [{"port": 81}]}}, at(300))
    directory.apply("Service", {**new, "spec": {**new["spec"], "ports": [{"port": 82}, {"port": 80}]}}, at(400))
    assert named(directory, "203.0.113.1", 200, 290, 295, 395, 402) == ["old", "old", None, None, "new"]
    assert directory.answer(Query("203.0.113.1", 9, at(500), at(500))) == Answer("Unknown", reason="port_not_served")


def test_node_port_is_the_services_on_every_node_address_in_its_time() -> None:
    """Also on IPv6 and external addresses of every node; a service that lost the port has lost it everywhere."""
    directory = cluster()
    addresses = [{"type": "InternalIP", "address": "fd00:1::2"}, {"type": "ExternalIP", "address": "203.0.113.9"}]
    directory.apply("Node", {"metadata": {"name": "n2", "uid": "node-2"}, "status": {"addresses": addresses}}, at(100))
    for address in (NODE, "fd00:1::2", "203.0.113.9"):
        assert named(directory, address, 500, port=30080) == ["web"]
    directory.delete("Service", "web", at(600))
    assert named(directory, "fd00:1::2", 590, 595, 700, port=30080) == ["web", None, "n2"]


def test_service_without_selector_and_slices_of_others_give_no_address_to_anyone() -> None:
    """Anybody may write a slice: an endpoint that names no object proves nothing, nor does one that claims a pod's."""
    directory = cluster()
    directory.apply("Service", service("database", [{"port": 5432}], clusterIP="10.96.0.9"), at(100))
    outside = {"addresses": ["10.7.7.7"], "conditions": {"ready": True}}
    claim = {"addresses": ["10.244.0.5"], "targetRef": {"kind": "Pod", "uid": "host"}}
    slices = {
        "metadata": {"name": "database-x", "uid": "slice"},
        "endpoints": [outside, claim, {"addresses": ["10.244.0.5"]}],
    }
    directory.apply("EndpointSlice", slices, at(100))
    assert named(directory, "10.96.0.9", 500, port=5432) == ["database"]
    assert named(directory, "10.244.0.5", 500) == ["second"]
    answer = directory.answer(Query("10.7.7.7", 5432, at(500), at(500)))
    assert (answer.kind, answer.reason) == ("Unknown", "endpoint_without_target")
    directory.delete("EndpointSlice", "slice", at(600))
    assert directory.answer(Query("10.7.7.7", 5432, at(700), at(700))).reason == "cluster_range_unknown"


def test_neighbour_of_a_pod_with_a_public_address_is_not_called_external() -> None:
    """Where pods have public addresses, the one beside may be a pod's that never was reported."""
    directory = Directory()
    directory.apply("Pod", pod("public", "2001:db8:1::9", 100), at(100))
    assert directory.answer(Query("2001:db8:1::abc", 80, at(500), at(500))).reason == "no_owner_at_that_time"
    assert directory.answer(Query("2001:db8:2::abc", 80, at(500), at(500))).kind == "External"


@pytest.mark.parametrize("address", ["", "10.0.0", "10.0.0.256", "fe80::1%eth0", "web.shop", "10.0.0.1\0", "१.0.0.1"])
def test_text_that_is_no_address_is_refused(address: str) -> None:
    """A question with such a text is wrong, not unanswerable."""
    with pytest.raises(InputError, match="neither IPv4 nor IPv6"):
        cluster().answer(Query(address, 80, 0, 0))


def inventory(number: int, start: int, pods: list[dict[str, Any]]) -> dict[str, Any]:
    """A complete inventory of one part."""
    kinds = {kind: {"complete": True, "count": len(pods)} for kind in ("Pod", "Service", "Node")}
    head = {"id": f"i{number}", "part": 1, "parts": 1, "kinds": kinds}
    return {"podList": pods, "window": {"start": rfc3339(at(start)), "end": rfc3339(at(start + 60))}, "inventory": head}


def test_two_inventories_show_who_left_and_who_came_between_them() -> None:
    """One inventory holds for ever; with a later one an address that changed hands is nobody's for certain between."""
    first = inventory(1, 1000, [pod("former", "10.244.0.9", 100), pod("stays", "10.244.0.10", 100)])
    second = inventory(2, 2000, [pod("latter", "10.244.0.9", 1500), pod("stays", "10.244.0.10", 100)])
    one = directory_from_inventory([first], Selection()).directory
    assert named(one, "10.244.0.9", 50, 500, 2500) == [None, "former", "former"]
    for bodies in ([first, second], [second, first]):
        both = directory_from_inventory(bodies, Selection()).directory
        assert named(both, "10.244.0.9", 500, 990, 1200, 1600, 2100) == ["former", "former", None, None, "latter"]
        assert named(both, "10.244.0.10", 500, 1500, 2500) == ["stays"] * 3


def test_inventory_of_some_namespaces_calls_nobody_external() -> None:
    """Replay knows as little as its inventory: who is not in it may be a node, or in another namespace."""
    whole = inventory(1, 1000, [pod("seen", "10.244.0.9", 100)])
    part = inventory(1, 1000, [pod("seen", "10.244.0.9", 100)])
    part["inventory"]["kinds"]["Node"] = {"complete": False, "reason": "namespaced"}
    for body, kind, reason in ((whole, "External", None), (part, "Unknown", "namespaced")):
        directory = directory_from_inventory([body], Selection()).directory
        answer = directory.answer(Query("203.0.113.9", 443, at(1010), at(1010)))
        assert (answer.kind, answer.reason) == (kind, reason)
        assert named(directory, "10.244.0.9", 1010) == ["seen"]
