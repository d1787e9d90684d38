"""Processes whose network is not that of their cgroup's pod: in another pod's network, in one of their own, or gone.

Ambient proxies and nsenter work in the network of another pod; a pod with the right to make cgroups can name one after
another pod. The cgroup and the address contradict each other then: no edge, and a named reason at both ends.
"""

from tests.scenarios.table import (
    Connect,
    Do,
    Edge,
    Left,
    NodeProcess,
    Scenario,
    ScenarioPod,
    Taken,
    connect,
    shop_took,
    web_to_shop,
)

WEB, SHOP = ScenarioPod("web"), ScenarioPod("shop", (8080,))
PROXY = ScenarioPod("ztunnel", namespace="istio-system", owner="DaemonSet")


def hidden_leader(name: str, says: str, hide: str, window: str) -> Scenario:
    """The scenario in which the pod's first process shows nothing of its network, and the second one works there."""
    return Scenario(
        name,
        says,
        pods=(ScenarioPod("web", containers=("app",)), SHOP),
        before=(connect("web/app", "pod shop", 8080, 3, "hold"), Do(hide, "web")),
        steps=(connect("web/app", "pod shop", 8080, 5),),
        edges=(web_to_shop(0, opened_before=3), web_to_shop(5)),
        taken=(
            *((shop_took(3, opened_before=True),) if window == "shared" else ()),
            shop_took(5),
        ),
        window=window,
    )


def from_web(who: str, count: int, mode: str = "close") -> Connect:
    """Connects to the shop that a process makes in the network of pod web."""
    return connect(who, "pod shop", 8080, count, mode, network="web")


SCENARIOS = (
    Scenario(
        "ambient-connect",
        "a proxy that connects in a pod's network: neither pod's edge, and named where it arrives",
        pods=(WEB, SHOP, PROXY),
        steps=(from_web("ztunnel", 7), connect("web", "pod shop", 8080, 5)),
        edges=(web_to_shop(5),),
        left=(Left("identity_conflict", 7, "a"),),
        taken=(shop_took(12),),
        uncompared={"remote_identity_conflict": 7},
    ),
    Scenario(
        "ambient-listen",
        "a proxy that listens in a pod's network: the pod's address was dialled, and nobody is named who accepted",
        pods=(WEB, ScenarioPod("shop"), PROXY),
        before=(Do("listen", "ztunnel", ("15008", "shop")),),
        steps=(connect("web", "pod shop", 15008, 5),),
        edges=(Edge("web", "pod shop", 15008, "Pod shop", 5),),
        taken_left=(Left("identity_conflict", 5, "a"),),
    ),
    Scenario(
        "ambient-hold",
        "what a proxy keeps open in a pod's network is not the pod's",
        pods=(WEB, SHOP, PROXY),
        before=(from_web("ztunnel", 3, "hold"),),
        steps=(connect("web", "pod shop", 8080, 5),),
        edges=(web_to_shop(5),),
        taken=(shop_took(3, opened_before=True), shop_took(5)),
        opened_uncompared=3,
    ),
    Scenario(
        "nsenter-from-the-node",
        "a process of the node at work in a pod's network: no pod's, and named where it arrives",
        pods=(WEB, SHOP),
        processes=(NodeProcess("debug"),),
        steps=(from_web("debug", 11),),
        left=(Left("source_not_a_pod", 11),),
        taken=(shop_took(11),),
        uncompared={"remote_not_a_pod": 11},
    ),
    Scenario(
        "nsenter-from-a-pod",
        "a debug pod on the node's network at work in a pod's network",
        pods=(WEB, SHOP, ScenarioPod("debug", host_network=True)),
        steps=(from_web("debug", 13),),
        left=(Left("identity_conflict", 13, "a"),),
        taken=(shop_took(13),),
        uncompared={"remote_identity_conflict": 13},
    ),
    Scenario(
        "cgroup-named-after-another-pod",
        "a pod in a cgroup that carries another pod's uid: unresolved at both ends, and the other pod stays itself",
        pods=(WEB, SHOP, ScenarioPod("liar", (9090,), named_after="web")),
        steps=(
            connect("liar", "pod shop", 8080, 7),
            connect("web", "pod liar", 9090, 3),
            connect("web", "pod shop", 8080, 5),
        ),
        edges=(
            Edge("web", "pod liar", 9090, "Pod liar", 3),
            web_to_shop(5),
        ),
        left=(Left("identity_conflict", 7, "a"),),
        taken=(
            Taken("shop", "pod shop", 8080, "pod liar", 7),
            shop_took(5),
        ),
        taken_left=(Left("identity_conflict", 3, "a"),),
        uncompared={"remote_identity_conflict": 7},
    ),
    Scenario(
        "host-port",
        "a host port of a node's address is the pod that has it",
        pods=(WEB, ScenarioPod("ingress", (8443,), "b", host_port=(10443, 8443))),
        steps=(connect("web", "node b", 10443, 5),),
        edges=(Edge("web", "node b", 10443, "Pod ingress", 5, reason="host_port"),),
        taken=(Taken("ingress", "pod ingress", 8443, "pod web", 5),),
    ),
    hidden_leader("zombie-leader", "a pod whose first process is a zombie", "end", "shared"),
    hidden_leader("zombie-leader-by-procfs", "the same without the iterator", "end", "procfs"),
    hidden_leader("nested-network", "a pod whose first process is in a network of its own", "leave-network", "shared"),
    hidden_leader("nested-network-by-procfs", "the same without the iterator", "leave-network", "procfs"),
)
