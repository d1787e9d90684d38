"""pod_lookup.py, node_name.py: the kernel's name and the address must agree, and no shape of a name proves "no pod"."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.attribution.body.connections_body import ResolvedWindow, build_body
from node_agent.attribution.flow_groups import directory_queries, group_flows
from podsonar.directory_answer import Answer, Query
from podsonar.model import AcceptedFlow, Capture
from tests.node_agent.stages import OWN, START_NS, WEB, body, capture, flow

VICTIM = "99999999-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
GHOST = "77777777-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
HOSTLY = "66666666-0b0f-4b0e-9d0a-1f1e2d3c4b5a"
SHARED = "55555555-0b0f-4b0e-9d0a-1f1e2d3c4b5a"  # the UID of a static pod of two nodes
CONTAINER = "c" * 64
UNDERSCORED = WEB.replace("-", "_")
PODS = {
    WEB: Answer("Pod", WEB, "shop", "web", node_name="node-a"),
    VICTIM: Answer("Pod", VICTIM, "shop", "victim", node_name="node-a"),
    HOSTLY: Answer("Pod", HOSTLY, "kube-system", "proxy", node_name="node-a", host_network=True),
    OWN: Answer("Pod", OWN, "podsonar", "agent", node_name="node-a"),
}
ADDRESSES = {
    "10.1.0.1": PODS[WEB],
    "10.1.0.2": PODS[VICTIM],
    "10.1.0.3": Answer("Ambiguous", reason="two_owners"),
    "10.1.0.9": Answer("Pod", "pod-b", "shop", "web-b", node_name="node-b"),
    "192.168.0.1": Answer("Node", "node-uid-a", name="node-a"),
    "192.168.0.2": Answer("Node", "node-uid-b", name="node-b"),
    "10.96.0.10": Answer("Service", "svc-1", "shop", "orders"),
}


def directory(query: Query) -> Answer:
    """Pods by UID (a static pod by node and UID), whole addresses."""
    if query.pod_uid == SHARED:
        mirror = Answer("Pod", f"mirror-{query.node}", "kube-system", "etcd", node_name=query.node, host_network=True)
        return mirror if query.node else Answer("Ambiguous", reason="several_owners")
    if query.pod_uid is not None:
        return PODS.get(query.pod_uid, Answer("Unknown", reason="pod_unknown"))
    return ADDRESSES.get(query.address or "", Answer("Unknown", reason="no_owner_at_that_time"))


def outcome(taken: Capture) -> ResolvedWindow:
    """The outcome of a capture under that directory."""
    traffic = group_flows(taken)
    return build_body(traffic, {query: directory(query) for query in directory_queries(traffic)})


def made(names: tuple[str, ...], source: str) -> Capture:
    """A capture of 23 attempts from a cgroup of those names."""
    return replace(capture([flow(50, "10.96.0.10", 23, source=source)]), cgroups={50: names})


def fate(taken: Capture) -> str | None:
    """The UID of the source that is named, or the reason why none is."""
    found = outcome(taken)
    counts = found.observation
    assert counts["attempts"] == counts["delivered"] + sum(sum(counts[n].values()) for n in ("filtered", "unresolved"))
    listed = body(found)["connectionList"]
    if listed:
        uid: str = listed[0]["kubernetes"]["sourcePod"]["uid"]
        return uid
    return next(iter({**counts["filtered"], **counts["unresolved"]}))


OF_WEB = (CONTAINER, f"pod{WEB}", "kubepods")
INNER = (f"pod{VICTIM}", CONTAINER, f"pod{WEB}", "kubepods")
NESTED = (CONTAINER, f"pod{WEB}", "kubepods", CONTAINER, f"pod{GHOST}", "kubepods")
HIDDEN = (f"pod{VICTIM}", *("x",) * 7)


@pytest.mark.parametrize(
    ("names", "source", "expected"),
    [
        pytest.param(OF_WEB, "10.1.0.1", WEB, id="name and address agree"),
        pytest.param(OF_WEB, "10.1.0.3", WEB, id="an ambiguous address contradicts nothing"),
        pytest.param(OF_WEB, "198.51.100.1", WEB, id="an address that the directory does not know"),
        pytest.param(OF_WEB, "192.168.0.1", WEB, id="a pod's process in the node's network"),
        pytest.param(OF_WEB, "10.1.0.2", "identity_conflict", id="a process in another pod's network"),
        pytest.param(OF_WEB, "10.1.0.9", "other_node", id="a pod's address of the other node on this kernel"),
        pytest.param((CONTAINER, f"pod{HOSTLY}", "kubepods"), "192.168.0.1", HOSTLY, id="a host-network pod"),
        pytest.param((CONTAINER, f"pod{HOSTLY}", "kubepods"), "10.1.0.2", "identity_conflict", id="nsenter by it"),
        pytest.param((CONTAINER, f"pod{SHARED}", "kubepods"), "192.168.0.1", "mirror-node-a", id="static, shared UID"),
        pytest.param(
            (CONTAINER, f"pod{SHARED}", "kubepods"), "192.168.0.2", "other_node", id="static, the other node's"
        ),
        pytest.param(INNER, "10.1.0.1", WEB, id="a tenant's inner name never beats the kubelet's"),
        pytest.param(INNER, "198.51.100.1", WEB, id="the same, at an unknown address"),
        pytest.param(NESTED, "10.1.0.1", WEB, id="a cluster nested in a pod of another one, by name and address"),
        pytest.param(NESTED, "10.1.0.2", "source_pod_unknown", id="the same at another pod's address"),
        pytest.param(NESTED, "198.51.100.1", "source_pod_unknown", id="the same without an address that proves it"),
        pytest.param(HIDDEN, "198.51.100.1", "source_pod_unknown", id="an outer name may be hidden: no proof"),
        pytest.param(HIDDEN, "10.1.0.1", "identity_conflict", id="an outer name may be hidden, address of another"),
        pytest.param(HIDDEN, "10.1.0.2", VICTIM, id="an outer name may be hidden, address agrees"),
        pytest.param((f"pod{VICTIM}", CONTAINER, "k8s.io"), "10.1.0.1", "identity_conflict", id="named below k8s.io"),
        pytest.param((f"pod{VICTIM}", CONTAINER, "k8s.io"), "198.51.100.1", "source_pod_unknown", id="no proof there"),
        pytest.param((CONTAINER, "k8s.io"), "10.1.0.1", WEB, id="no cgroups per QoS: the address decides"),
        pytest.param((CONTAINER, "docker"), "10.1.0.1", WEB, id="docker: the address decides"),
        pytest.param(("caf\ufffd",), "10.1.0.1", WEB, id="a name that is not UTF-8: the address decides"),
        pytest.param(
            (CONTAINER, "k8s.io"), "10.1.0.3", "source_unknown", id="an address of two owners decides nothing"
        ),
        pytest.param((CONTAINER, "k8s.io"), "192.168.0.1", "source_unknown", id="the node's address decides nothing"),
        pytest.param(("sshd.service", "system.slice"), "10.1.0.1", "source_not_a_pod", id="the node's own, by nsenter"),
        pytest.param((CONTAINER, f"pod{GHOST}", "kubepods"), "10.1.0.1", "source_pod_unknown", id="a UID unknown yet"),
        pytest.param((CONTAINER, f"pod{OWN}", "kubepods"), "10.1.0.7", "own_traffic", id="the agent's own"),
        pytest.param((f"pod{VICTIM}", CONTAINER, f"pod{OWN}"), "10.1.0.7", "own_traffic", id="its own, inner name"),
        pytest.param(
            (f"kubepods-burstable-pod{UNDERSCORED}.slice:cri-containerd:cccc", "containerd.service", "system.slice"),
            "10.1.0.1",
            WEB,
            id="below a service of the node",
        ),
    ],
)
def test_source_is_the_pod_that_name_and_address_allow_or_a_reason(
    names: tuple[str, ...], source: str, expected: str
) -> None:
    """Delivered from a pod that nothing contradicts, filtered as what is known, else unresolved with its reason."""
    assert fate(made(names, source)) == expected


@pytest.mark.parametrize(
    ("names", "local", "expected"),
    [
        pytest.param(OF_WEB, "10.1.0.1", {"delivered": 3}, id="name and address agree"),
        pytest.param(OF_WEB, "10.1.0.2", {"unresolved": {"identity_conflict": 3}}, id="a listener in another network"),
        pytest.param(OF_WEB, "10.1.0.9", {"filtered": {"other_node": 3}}, id="the other node's address"),
        pytest.param((CONTAINER, "k8s.io"), "10.1.0.1", {"delivered": 3}, id="an unknown shape, a pod's address"),
        pytest.param((CONTAINER, "k8s.io"), "192.168.0.1", {"unresolved": {"cgroup_unknown": 3}}, id="and a node's"),
        pytest.param(("sshd.service", "system.slice"), "10.1.0.1", {"filtered": {"not_a_pod": 3}}, id="the node's own"),
    ],
)
def test_listener_is_the_pod_that_name_and_address_allow_or_a_reason(
    names: tuple[str, ...], local: str, expected: dict[str, object]
) -> None:
    """The accepting end follows the same rule."""
    taken = capture([], [AcceptedFlow(50, local, 80, "10.1.0.8", 3, START_NS, START_NS + 1)])
    counts = outcome(replace(taken, cgroups={50: names})).observation["accepted"]
    assert {name: counts[name] for name in ("delivered", "filtered", "unresolved") if counts[name]} == expected


def test_connection_from_before_the_window_is_left_out_where_another_pods_process_works_in_that_network() -> None:
    """An ambient proxy makes sockets in a pod's network: the socket table of /proc does not show whose a socket is."""
    opened = flow(0, "10.96.0.10", 0, source="10.1.0.1")._replace(established=5, opened_before=True, pod_uid=WEB)
    proxy = flow(50, "10.96.0.10", 7, source="10.1.0.1")
    cgroups = {50: (CONTAINER, f"pod{VICTIM}", "kubepods")}
    alone = outcome(replace(capture([opened]), cgroups=cgroups)).observation["openedBefore"]
    beside = outcome(replace(capture([opened, proxy]), cgroups=cgroups)).observation
    assert (alone["delivered"], alone["leftOut"]) == (5, {})
    assert (beside["openedBefore"]["delivered"], beside["openedBefore"]["leftOut"]) == (0, {"holder_unknown": 5})
    assert beside["unresolved"] == {"identity_conflict": 7}


@pytest.mark.parametrize(
    ("configured", "delivered", "sentence"),
    [
        ("node-a", 23, None),
        ("NODE-A", 23, "the API server calls this node 'node-a'"),
        ("node-a.example.internal", 23, "the API server calls this node 'node-a'"),
        ("", 23, "taken as 'node-a'"),
        ("node-z", 0, "expected the name of `kubectl get nodes`"),
    ],
)
def test_node_name_in_another_form_is_the_directorys_name(
    configured: str, delivered: int, sentence: str | None
) -> None:
    """Other case, an FQDN or none at all: the records count under the API's name; another name is one sentence."""
    found = outcome(replace(made(OF_WEB, "10.1.0.1"), node_name=configured))
    assert found.observation["delivered"] == delivered
    assert found.head["nodeName"] == ("node-a" if delivered else configured)
    assert (found.node_name_mismatch is None) == (sentence is None)
    assert sentence is None or sentence in (found.node_name_mismatch or "")


NAMES = st.lists(
    st.sampled_from([CONTAINER, "k8s.io", "kubepods", "system.slice", "x", *(f"pod{uid}" for uid in (*PODS, GHOST))]),
    max_size=8,
).map(tuple)


@given(NAMES, st.sampled_from([*ADDRESSES, "198.51.100.1"]))
def test_inner_name_alone_never_names_a_pod(names: tuple[str, ...], source: str) -> None:
    """Whatever a tenant names below its own cgroup: the source is the outermost pod, or the one with that address."""
    found = fate(made(names, source))
    outermost = [name.removeprefix("pod") for name in names if name.startswith("pod")][-1:]
    if found in PODS:
        assert [found] == outermost or ADDRESSES.get(source, Answer("Unknown")).uid == found
