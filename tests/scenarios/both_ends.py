"""Both ends of a connection, observed by two agents on one kernel: what the manager's join may claim, and what it may
not.
"""

from tests.scenarios.table import Edge, Left, Masquerade, Pod, Process, Scenario, Service, Taken, connect

WEB, SHOP = Pod("web"), Pod("shop", (8080,))
FAR_WEB, FAR_SHOP = Pod("web", node="b"), Pod("shop", (8080,), "b")
ORDERS = Service("shop", "shop", 80, 8080)

SCENARIOS = (
    Scenario(
        "across-nodes",
        "a record counts once, from the agent of its pod's own node; the other one says other_node",
        pods=(WEB, FAR_SHOP),
        services=(ORDERS,),
        steps=(connect("web", "service shop", 80, 29),),
        edges=(Edge("web", "service shop", 80, "Service shop", 29),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 29),),
        backends={"shop": {"shop": 29}},
        both_ends={"shop": True},
    ),
    Scenario(
        "across-nodes-masqueraded",
        "behind a masquerade the accepting end sees a node: compared by sums",
        pods=(WEB, FAR_SHOP),
        services=(ORDERS,),
        masquerade=(Masquerade("a", "pod web", "pod shop"),),
        steps=(connect("web", "service shop", 80, 31),),
        edges=(Edge("web", "service shop", 80, "Service shop", 31),),
        taken=(Taken("shop", "pod shop", 8080, "node a", 31),),
        backends={"shop": {"shop": 31}},
        both_ends={"shop": True},
    ),
    Scenario(
        "masqueraded-two-by-two",
        "two clients behind one node and two backends: explained in sums, and no backend is guessed for either client",
        pods=(
            WEB,
            Pod("api"),
            Pod("shop-1", (8080,), "b", app="shop"),
            Pod("shop-2", (8080,), "b", app="shop"),
        ),
        services=(ORDERS,),
        masquerade=(
            Masquerade("a", "pod web", "pod shop-1"),
            Masquerade("a", "pod web", "pod shop-2"),
            Masquerade("a", "pod api", "pod shop-1"),
            Masquerade("a", "pod api", "pod shop-2"),
        ),
        steps=(connect("web", "service shop", 80, 7), connect("api", "service shop", 80, 11)),
        edges=(
            Edge("web", "service shop", 80, "Service shop", 7),
            Edge("api", "service shop", 80, "Service shop", 11),
        ),
        taken=(
            Taken("shop-1", "pod shop-1", 8080, "node a", 9),
            Taken("shop-2", "pod shop-2", 8080, "node a", 9),
        ),
        backends={"shop": {}},
        both_ends={"shop": None},
    ),
    Scenario(
        "masqueraded-with-probes",
        "of what came from a node only as much is explained as its pods made; the rest is named",
        pods=(WEB, FAR_SHOP),
        processes=(Process("kubelet"),),
        services=(ORDERS,),
        masquerade=(Masquerade("a", "pod web", "pod shop"),),
        steps=(connect("web", "service shop", 80, 13), connect("kubelet", "pod shop", 8080, 5)),
        edges=(Edge("web", "service shop", 80, "Service shop", 13),),
        left=(Left("source_not_a_pod", 5),),
        taken=(Taken("shop", "pod shop", 8080, "node a", 18),),
        uncompared={"remote_is_a_node": 5},
        backends={"shop": {"shop": 13}},
    ),
    Scenario(
        "masquerade-of-another-node",
        "what came from node b's address is not explained by a client of node a",
        pods=(WEB, SHOP),
        processes=(Process("kubelet", "b"),),
        steps=(connect("web", "pod shop", 9999, 3, established=0), connect("kubelet", "pod shop", 8080, 5)),
        edges=(Edge("web", "pod shop", 9999, "Pod shop", 3, failed=3, errno=111),),
        left=(Left("source_not_a_pod", 5),),
        taken=(Taken("shop", "pod shop", 8080, "node b", 5),),
        uncompared={"remote_is_a_node": 5},
    ),
    Scenario(
        "client-node-without-agent",
        "what a pod of a node without an agent made cannot be compared: not a miss",
        pods=(FAR_WEB, SHOP),
        services=(ORDERS,),
        steps=(connect("web", "service shop", 80, 23),),
        edges=(Edge("web", "service shop", 80, "Service shop", 23),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 23),),
        agentless=("b",),
        uncompared={"node_without_agent": 23},
    ),
    Scenario(
        "client-node-without-tracer",
        "an agent that could not trace is no agent in this",
        pods=(FAR_WEB, SHOP),
        services=(ORDERS,),
        steps=(connect("web", "service shop", 80, 19),),
        edges=(Edge("web", "service shop", 80, "Service shop", 19),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 19),),
        untraced=("b",),
        uncompared={"node_without_agent": 19},
    ),
    Scenario(
        "server-node-without-tracer",
        "an edge whose accepting end nobody could see is neither confirmed nor denied",
        pods=(WEB, FAR_SHOP),
        services=(ORDERS,),
        steps=(connect("web", "service shop", 80, 17),),
        edges=(Edge("web", "service shop", 80, "Service shop", 17),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 17),),
        untraced=("b",),
        both_ends={"shop": None},
    ),
)
