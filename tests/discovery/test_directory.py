"""The directory names the owner of an address at a time, or says that it cannot; it never names another."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.directory import Directory
from discovery.records import NS_PER_SECOND, Query, rfc3339
from discovery.selection import Selection

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
    directory.observe("Node", node, 0)
    web: list[dict[str, Any]] = [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP", "nodePort": 30053}]
    for one in (
        service("web", web, clusterIPs=["10.96.0.1", "fd00:96::1"], externalIPs=["203.0.113.1"]),
        service("edge", [{"port": 443}], clusterIP="10.96.0.2", ingress=["203.0.113.2", NODE]),
        service("headless", [{"port": 80}], clusterIP="None"),
    ):
        directory.observe("Service", one, 0)
    directory.observe("Pod", pod("first", "10.244.0.5", 100), at(100))
    directory.forget("Pod", "first", at(200))
    directory.observe("Pod", pod("second", "10.244.0.5", 300), at(300))
    directory.observe("Pod", pod("host", NODE, 100, hostNetwork=True), at(100))
    directory.observe("Pod", pod("done", "10.244.0.6", 100), at(100))
    directory.observe("Pod", pod("done", "10.244.0.6", 100, phase="Succeeded"), at(150))
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
    directory.observe("Service", service("web", [{"port": 80}], clusterIP="10.96.0.1"), at(600))
    assert directory.answer(Query("203.0.113.1", 80, at(700), at(700))).kind == "Unknown"
    assert directory.answer(Query("203.0.113.1", 80, at(500), at(500))).name == "web"
    assert directory.answer(Query(NODE, 30080, at(700), at(700))).kind == "Node"
    assert directory.answer(Query(NODE, 30080, at(500), at(500))).name == "web"


def test_address_of_a_gone_node_is_the_next_owners() -> None:
    """Where nodes and pods share a range, an address may go from one to the other."""
    directory = cluster()
    directory.forget("Node", "node-1", at(600))
    directory.observe("Pod", pod("third", NODE, 700), at(700))
    assert directory.answer(Query(NODE, 8080, at(800), at(800))).name == "third"
    assert directory.answer(Query(NODE, 8080, at(500), at(500))).kind == "Node"
    assert directory.answer(Query(NODE, 8080, at(500), at(800))).kind == "Ambiguous"


def test_static_pod_is_found_by_its_config_hash() -> None:
    """A static pod's cgroup carries its config hash, which names the API's pod."""
    directory = cluster()
    directory.observe(
        "Pod", pod("static", NODE, 1, hostNetwork=True, annotations={"kubernetes.io/config.hash": "ab"}), 0
    )
    assert directory.answer(Query(pod_uid="ab")).uid == "static"
    assert directory.answer(Query(pod_uid="nobody")).reason == "pod_unknown"


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=6),
    st.integers(0, 400),
    st.integers(0, 30),
)
def test_address_that_changes_hands_names_the_true_owner_or_nobody(
    lives: list[tuple[int, int]], start: int, length: int
) -> None:
    """A pod is named only if it alone had the address during the whole history of the asked time."""
    directory, now, truth = Directory(Selection(orphaned=True)), 0, []
    for number, (life, gap) in enumerate(lives):
        directory.observe("Pod", pod(f"p{number}", "10.0.0.1", now), at(now))
        directory.forget("Pod", f"p{number}", at(now + life))
        truth.append((f"p{number}", now, now + life))
        now += life + gap
    owners = {uid for uid, begin, end in truth if begin <= start + length and start < end}
    answer = directory.answer(Query("10.0.0.1", 80, at(start), at(start + length)))
    assert answer.kind == ("Pod" if len(owners) == 1 else "Ambiguous" if owners else "Unknown")
    assert answer.kind != "Pod" or owners == {answer.uid}
