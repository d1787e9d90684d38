"""Which pod connected: threads, forks, containers that come and go, static pods, processes outside pods."""

from lab.simulated.two_nodes import NODES
from tests.scenarios.table import (
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


def one_edge(name: str, says: str, count: int, *steps: Do, web: ScenarioPod = WEB) -> Scenario:
    """The scenario in which pod web makes `count` connects to pod shop, in steps of any kind."""
    return Scenario(
        name,
        says,
        pods=(web, SHOP),
        steps=steps,  # type: ignore[arg-type]
        edges=(web_to_shop(count),),
        taken=(shop_took(count),),
    )


SCENARIOS = (
    one_edge(
        "threads",
        "many threads of one process add up to one flow",
        101,
        connect("web", "pod shop", 8080, 101, "threads", threads=11),
    ),
    one_edge(
        "fork",
        "processes that connect once and exit at once are their pod's",
        47,
        connect("web", "pod shop", 8080, 47, "fork"),
    ),
    one_edge(
        "fork-exec",
        "a child connects, becomes another program, and connects again",
        10,
        connect("web", "pod shop", 8080, 5, "exec", attempts=10),
    ),
    one_edge(
        "brief-container",
        "a container that lived for milliseconds, its cgroup gone before the window ends",
        1,
        connect("web", "pod shop", 8080, 1, "container"),
    ),
    one_edge(
        "sidecar-and-init",
        "all containers of a pod are the pod: main, sidecar, and an init container that has ended",
        15,
        connect("web", "pod shop", 8080, 3, "container"),
        connect("web", "pod shop", 8080, 5),
        connect("web/sidecar", "pod shop", 8080, 7),
        web=ScenarioPod("web", containers=("sidecar",)),
    ),
    one_edge(
        "static-pod",
        "a static pod's cgroup carries its config hash; the record carries the API's uid",
        13,
        connect("web", "pod shop", 8080, 13),
        web=ScenarioPod("web", static=True, owner="Node"),
    ),
    one_edge(
        "escape-sequences",
        "a comm name that would clear a terminal is nowhere in what is kept or reported",
        11,
        connect("web", "pod shop", 8080, 11, "renamed"),
    ),
    Scenario(
        "pod-unknown",
        "a pod that the API server never listed is unresolved, at both ends",
        pods=(ScenarioPod("ghost", (8080,), known=False), SHOP),
        steps=(connect("ghost", "pod shop", 8080, 7), connect("shop", "pod ghost", 8080, 5)),
        edges=(Edge("shop", "pod ghost", 8080, "Unknown", 5, reason="no_owner_at_that_time"),),
        left=(Left("source_pod_unknown", 7),),
        taken=(Taken("shop", "pod shop", 8080, "pod ghost", 7),),
        taken_left=(Left("pod_unknown", 5),),
        uncompared={"remote_pod_not_observed": 7},
    ),
    Scenario(
        "probes",
        "the kubelet's probes into a pod come from no pod: filtered, and named where they arrive",
        pods=(SHOP,),
        processes=(NodeProcess("kubelet"),),
        steps=(connect("kubelet", "pod shop", 8080, 17),),
        left=(Left("source_not_a_pod", 17),),
        taken=(Taken("shop", "pod shop", 8080, "node a", 17),),
        uncompared={"remote_is_a_node": 17},
    ),
    Scenario(
        "node-process",
        "what the node's own programs do is no pod's: to another node, to the outside",
        processes=(NodeProcess("sshd"), NodeProcess("registry", "b", (5000,))),
        steps=(connect("sshd", "node b", 5000, 11), connect("sshd", NODES["b"].addresses[1], 5000, 5)),
        left=(Left("source_not_a_pod", 16),),
        taken_left=(Left("not_a_pod", 16),),
    ),
)
