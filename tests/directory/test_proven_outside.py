"""`External` is what is proven to be outside; a node or a service is named only as far as every kind is known."""

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directory.addresses import NOT_PUBLIC, address_key, is_public, without_leading_zeros
from directory.configured_ranges import ConfiguredRanges
from directory.from_inventory import directory_from_inventory
from directory.interval import SKEW_NS
from directory.lookup import Directory
from directory.selection import Selection
from podsonar.directory_answer import Answer, Query
from podsonar.errors import SettingsError
from podsonar.settings import CollectorSettings, Data
from tests.directory.test_lookup import NODE, at, cluster, named, pod, service


def answer(directory: Directory, address: str, port: int = 443, second: int = 500) -> tuple[str, str | None]:
    """The kind and the reason of an answer."""
    found = directory.answer(Query(address, port, at(second), at(second)))
    return found.kind, found.reason or found.name


def gke() -> Directory:
    """A cluster with services in Google's own range and on published addresses."""
    directory = cluster()
    for obj in (
        service("gke", [{"port": 80}], clusterIP="34.118.224.10"),
        service("zeros", [{"port": 80}], clusterIP="10.96.009.010", externalIPs=["203.000.113.009"]),
        service("lb", [{"port": 443}], clusterIP="10.96.0.20", ingress=["198.51.100.2"]),
        service("dns", [{"port": 53, "protocol": "UDP"}], clusterIP="10.96.0.3", ingress=["198.51.100.3"]),
        service("sctp", [{"port": 443, "protocol": "SCTP"}], clusterIP="10.96.0.4", externalIPs=["198.51.100.4"]),
        service("none", [{"port": 80}], clusterIP="None", externalIPs=["198.51.100.5"]),
        service("name", [{"port": 80}], type="ExternalName", externalIPs=["198.51.100.6"]),
        service("v6", [{"port": 80}], clusterIP="::ffff:010.096.000.077"),
    ):
        directory.apply("Service", obj, 0)
    return directory


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("169.254.20.10", "cluster_range_unknown"),  # NodeLocal DNSCache: a pod of this node
        ("169.254.170.23", "cluster_range_unknown"),  # the identity agent of a cloud: a pod of this node
        ("169.254.169.254", "cluster_range_unknown"),
        ("fe80::1", "cluster_range_unknown"),
        ("240.240.0.5", "cluster_range_unknown"),  # a mesh's address of a ServiceEntry
        ("242.0.0.9", "cluster_range_unknown"),  # a service of another cluster
        ("198.18.5.5", "cluster_range_unknown"),
        ("192.0.0.8", "cluster_range_unknown"),
        ("224.0.0.251", "cluster_range_unknown"),
        ("ff02::1", "cluster_range_unknown"),
        ("0.0.0.0", "cluster_range_unknown"),
        ("255.255.255.255", "cluster_range_unknown"),
        ("::", "cluster_range_unknown"),
        ("34.118.230.7", "cluster_range_unknown"),  # GKE: another /24 of the range that services are in
        ("34.118.224.77", "cluster_range_unknown"),
        ("2002:a00:1::1", "cluster_range_unknown"),  # 6to4 of 10.0.0.1
        ("2001::1", "cluster_range_unknown"),  # Teredo
        ("64:ff9b::a00:1", "translated_address"),  # NAT64 of 10.0.0.1
        ("64:ff9b::af4:5", "translated_address"),  # of a pod
        ("64:ff9b::cb00:7101", "translated_address"),  # of the external address of a service
        ("64:ff9b:1::808:808", "cluster_range_unknown"),  # the prefix for local use
        ("::ffff:169.254.20.10", "cluster_range_unknown"),
        ("5f00::1", "cluster_range_unknown"),
        ("198.51.100.2", "lb"),
        ("198.51.100.3", "port_not_served"),  # UDP alone: the packet of a TCP connect leaves the node
        ("198.51.100.4", "port_not_served"),
    ],
)
def test_address_that_is_not_proven_outside_is_not_external(address: str, reason: str) -> None:
    """Link-local, reserved and shared ranges serve nodes and meshes; a translated address may be a pod's."""
    kind, found = answer(gke(), address)
    assert (kind, found) == ("Service" if reason == "lb" else "Unknown", reason)


@pytest.mark.parametrize("port", [1, 22, 53, 80, 6443, 65535])
def test_published_address_is_the_services_on_its_ports_alone(port: int) -> None:
    """kube-proxy takes the ports of the service; all else leaves the node for the load balancer itself."""
    assert answer(gke(), "198.51.100.2", port) == ("Unknown", "port_not_served")
    assert answer(gke(), "203.0.113.1", port) == (("Service", "web") if port == 80 else ("Unknown", "port_not_served"))
    found = gke().answer(Query("10.96.0.20", port, at(500), at(500)))
    assert (found.name, found.reason) == ("lb", "port_not_served")


@pytest.mark.parametrize(
    ("address", "name"),
    [("10.96.9.10", "zeros"), ("203.0.113.9", "zeros"), ("10.96.0.77", "v6"), ("198.51.100.5", None)],
)
def test_stored_addresses_are_read_as_kube_proxy_reads_them(address: str, name: str | None) -> None:
    """Leading zeros are decimal; a headless service and an ExternalName publish nothing."""
    assert named(gke(), address, 500) == [name]


@given(st.lists(st.integers(0, 255), min_size=4, max_size=4), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_leading_zeros_change_no_address(parts: list[int], zeros: list[int]) -> None:
    """Any number of zeros before any part, with and without the IPv6 form."""
    plain = ".".join(map(str, parts))
    padded = ".".join("0" * count + str(part) for part, count in zip(parts, zeros, strict=True))
    for prefix in ("", "::ffff:"):
        assert address_key(without_leading_zeros(prefix + padded)) == address_key(plain)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_not_global_is_not_public(address: Any) -> None:
    """The list covers at least what the standard library knows as not global, but for the documentation's ranges."""
    documentation = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:", "3fff:")
    mapped = getattr(address, "ipv4_mapped", None)
    plain = mapped or address
    if str(plain).startswith(documentation) or address_key(str(plain)) >> 32 == 0x64FF9B << 72:
        return
    assert plain.is_global or not is_public(address_key(str(plain)))


def test_every_special_range_of_the_registry_is_not_public() -> None:
    """The first and the last address of each."""
    for bits, prefixes in NOT_PUBLIC.by_shift.items():
        for prefix in prefixes:
            for key in (prefix << bits, (prefix + 1 << bits) - 1):
                assert not is_public(key), ip_address(key & 0xFFFFFFFF)


@pytest.mark.parametrize("kind", ["Pod", "Service", "Node"])
def test_kind_that_is_not_known_blinds_every_answer_that_needs_it(kind: str) -> None:
    """A refused kind: nobody is external, and a node is named only if no service or pod can have its port."""
    directory = cluster()
    directory.incomplete[kind] = f"{kind.lower()}_forbidden"
    assert answer(directory, "198.51.100.7") == ("Unknown", f"{kind.lower()}_forbidden")
    assert answer(directory, "64:ff9b::808:808")[0] == "Unknown"
    expected = ("Node", "n1") if kind == "Node" else ("Unknown", f"{kind.lower()}_forbidden")
    assert answer(directory, NODE, 10250) == expected
    assert answer(directory, "10.244.0.5", 8080) == ("Pod", "second")


@pytest.mark.parametrize("kind", ["Pod", "Service", "Node"])
def test_time_in_which_a_kind_was_not_watched_is_blind_for_that_kind(kind: str) -> None:
    """Before, after and beside it the answers are as ever."""
    directory = cluster()
    directory.add_unwatched(kind, at(600), at(700))
    for second, blind in ((597, False), (598, True), (650, True), (702, True), (703, False)):
        assert (answer(directory, "198.51.100.7", second=second)[1] == "not_watched_then") == blind
        assert (answer(directory, NODE, 10250, second)[1] == "not_watched_then") == (blind and kind != "Node")
    assert at(2) == SKEW_NS


def body(kinds: dict[str, Any], part: int = 1, parts: int = 1, **lists: Any) -> dict[str, Any]:
    """One part of an inventory."""
    return {"inventory": {"id": "i", "part": part, "parts": parts, "kinds": kinds}, **lists}


WHOLE = {kind: {"complete": True} for kind in ("Pod", "Service", "Node")}


@pytest.mark.parametrize(
    ("bodies", "reason"),
    [
        ([body(WHOLE)], None),
        ([body(WHOLE | {"Service": {"complete": False, "reason": "forbidden"}})], "service_forbidden"),
        ([body(WHOLE | {"Node": {"complete": False, "reason": "forbidden"}})], "node_forbidden"),
        ([body(WHOLE | {"Pod": {"complete": False, "reason": "timeout"}})], "pod_incomplete"),
        ([body({kind: WHOLE[kind] for kind in ("Pod", "Service")})], "node_not_listed"),
        ([body(WHOLE, 1, 2)], "pod_part_missing"),
        ([body(WHOLE, 2, 2)], "pod_part_missing"),
        ([body(WHOLE, 1, 10**12)], "pod_part_missing"),
        ([body(WHOLE, 1, 2), body(WHOLE, 2, 2)], None),
        ([body(WHOLE, 1, 2), body(WHOLE, 1, 2)], "pod_part_missing"),
        ([body(WHOLE | {"Node": {"complete": False, "reason": "namespaced"}})], "namespaced"),
        ([body(WHOLE | {"Node": None})], "node_incomplete"),
        ([body(WHOLE, observedNamespaces=["shop"])], "namespaces_left_out"),
        ([{"podList": [], "serviceList": [], "nodeList": []}], None),
        ([{"podList": [], "serviceList": []}], "node_not_listed"),
        ([body(WHOLE, podList=[{"metadata": {"name": "web-1"}}])], "pod_rejected"),
        ([body(WHOLE, serviceList=[{"metadata": {"uid": "u"}}])], "service_rejected"),
        ([], "pod_not_listed"),
    ],
)
def test_inventory_proves_absence_only_of_what_it_has_whole(bodies: list[dict[str, Any]], reason: str | None) -> None:
    """A missing part, a refused kind, an object without an identity: nobody is external."""
    directory = directory_from_inventory(bodies, Selection()).directory
    assert answer(directory, "198.51.100.7") == ("Unknown" if reason else "External", reason)


@pytest.mark.parametrize(
    "selection",
    [Selection(frozenset({"shop"})), Selection(blacklisted=frozenset({"a"})), Selection(selected=frozenset())],
)
def test_inventory_of_a_selection_of_namespaces_proves_no_absence(selection: Selection) -> None:
    """A service that was left out may have the address."""
    directory = directory_from_inventory([body(WHOLE)], selection).directory
    assert answer(directory, "198.51.100.7") == ("Unknown", "namespaces_left_out")


def configured(cluster_ranges: list[str], external_ranges: list[str]) -> Directory:
    """The cluster, with ranges from the settings."""
    data = Data(cluster_ranges=cluster_ranges, external_ranges=external_ranges)
    directory = cluster()
    directory.configured = ConfiguredRanges.of(CollectorSettings(data=data))
    return directory


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("11.8.0.1", ("Unknown", "no_owner_at_that_time")),  # in clusterRanges
        ("2a00:1450::1", ("Unknown", "no_owner_at_that_time")),
        ("10.200.3.4", ("External", None)),  # in externalRanges
        ("169.254.169.254", ("External", None)),
        ("10.201.0.1", ("Unknown", "no_owner_at_that_time")),  # in both
        ("10.244.0.77", ("Unknown", "no_owner_at_that_time")),  # a node's range of pods
        ("10.244.0.5", ("Pod", "second")),  # an owner that is known
        ("10.96.0.1", ("Service", "port_not_served")),
        ("64:ff9b::ac8:304", ("External", None)),  # NAT64 of 10.200.3.4
        ("64:ff9b::b08:1", ("Unknown", "translated_address")),  # of 11.8.0.1
    ],
)
def test_ranges_of_the_settings_decide_where_no_object_does(address: str, expected: tuple[str, str | None]) -> None:
    """`data.clusterRanges` are never external, `data.externalRanges` are, unless the cluster uses the address."""
    external = ["10.200.0.0/15", "169.254.169.254/32", "10.244.0.0/16", "10.96.0.1"]
    assert answer(configured(["11.0.0.0/8", "2a00:1450::/32", "10.201.0.0/16"], external), address) == expected


@pytest.mark.parametrize("text", ["", "shop", "10.0.0.0/33", "10.0.0/8", "fe80::1%eth0/64", "0" * 1_000_000])
@pytest.mark.parametrize("setting", ["cluster_ranges", "external_ranges"])
def test_range_that_is_none_stops_the_program_with_its_key(setting: str, text: str) -> None:
    """The key, the value and what was expected."""
    key = {"cluster_ranges": "data.clusterRanges", "external_ranges": "data.externalRanges"}[setting]
    with pytest.raises(SettingsError, match=f"setting {key} has '.*', expected ranges such as 203"):
        ConfiguredRanges.of(CollectorSettings(data=Data(**{setting: ["10.0.0.0/8", text]})))


@pytest.mark.parametrize(
    "addresses", [["10.96.0.200"], ["203.0.113.77"], ["10.244.0.99"], [None, 7, "x", "10.96.0.201"]]
)
def test_slice_of_a_tenant_changes_no_answer(addresses: list[Any]) -> None:
    """What a slice names is as unknown, or as external, as it was before; only the reason may mention it."""
    directory = cluster()
    asked = [text for text in addresses if isinstance(text, str) and text != "x"]
    before = [answer(directory, address)[0] for address in asked]
    directory.apply(
        "EndpointSlice", {"metadata": {"name": "x", "uid": "x"}, "endpoints": [{"addresses": addresses}]}, 0
    )
    assert [answer(directory, address)[0] for address in asked] == before


def with_host_port(uid: str, address: str, *ports: dict[str, Any], node: str = "n1", **spec: Any) -> dict[str, Any]:
    """A pod with ports of its containers."""
    return pod(uid, address, 100, nodeName=node, containers=[{"name": "c", "ports": list(ports)}], **spec)


def test_host_port_of_a_node_leads_to_its_pod() -> None:
    """By destination NAT on the node, for as long as the pod has its own address, and on that node alone."""
    directory = cluster()
    other = {
        "metadata": {"name": "n2", "uid": "node-2"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.2"}]},
    }
    directory.apply("Node", other, 0)
    directory.apply("Pod", with_host_port("ingress", "10.244.0.50", {"containerPort": 8443, "hostPort": 443}), at(100))
    found = directory.answer(Query(NODE, 443, at(500), at(500)))
    # A load balancer has 443 on the node as well: two destinations may be meant.
    assert found == Answer("Ambiguous", reason="several_owners")
    directory.apply("Pod", with_host_port("web", "10.244.0.51", {"containerPort": 80, "hostPort": 8080}), at(100))
    found = directory.answer(Query(NODE, 8080, at(500), at(500)))
    assert (found.kind, found.name, found.reason) == ("Pod", "web", "host_port")
    assert answer(directory, NODE, 8081) == ("Node", "n1")
    assert answer(directory, "192.168.0.2", 8080) == ("Node", "n2")
    directory.delete("Pod", "web", at(600))
    assert answer(directory, NODE, 8080, 650) == ("Node", "n1")
    assert answer(directory, NODE, 8080, 595) == ("Ambiguous", "owner_not_certain")
    assert answer(directory, NODE, 8080, 500) == ("Pod", "host_port")


@pytest.mark.parametrize(
    ("port", "spec", "kind"),
    [
        ({"hostPort": 8080, "hostIP": "192.168.0.1"}, {}, "Pod"),
        ({"hostPort": 8080, "hostIP": "192.168.000.001"}, {}, "Pod"),
        ({"hostPort": 8080, "hostIP": "0.0.0.0"}, {}, "Pod"),
        ({"hostPort": 8080, "hostIP": "127.0.0.1"}, {}, "Node"),
        ({"hostPort": 8080, "protocol": "UDP"}, {}, "Node"),
        ({"hostPort": 8080}, {"hostNetwork": True}, "Node"),
        ({"hostPort": True}, {}, "Node"),
        ({"hostPort": "8080"}, {}, "Node"),
        ({"hostPort": 30080}, {}, "Node"),
    ],
)
def test_host_port_is_as_narrow_as_it_is_written(port: dict[str, Any], spec: dict[str, Any], kind: str) -> None:
    """On its address, for TCP, and by NAT alone: a pod on the host's network listens by itself."""
    directory = cluster()
    directory.apply("Pod", with_host_port("web", "10.244.0.51", port, **spec), at(100))
    assert answer(directory, NODE, 8080)[0] == kind
    if port.get("hostPort") == 30080:  # also a node port: both may be meant
        assert answer(directory, NODE, 30080) == ("Ambiguous", "several_owners")
