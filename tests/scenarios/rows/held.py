"""Connections that are held: pools of a whole node, passed to another pod, half closed, never accepted, just ended."""

from tests.scenarios.table import Connect, Do, Edge, Scenario, ScenarioPod, Taken, connect, shop_took, web_to_shop

WEB, SHOP = ScenarioPod("web"), ScenarioPod("shop", ({"port": 8080, "kind": "keep"},))
PODS, NEIGHBOURS, POOL = 200, 5, 10


def ring() -> Scenario:
    """The scenario in which every pod holds a pool to each of its next neighbours, and has as many of their pools."""
    names = [f"pod-{number}" for number in range(PODS)]
    pools = [
        (name, names[(number + step) % PODS]) for number, name in enumerate(names) for step in range(1, NEIGHBOURS + 1)
    ]
    listen = ({"port": 8080, "kind": "keep"},)
    return Scenario(
        "pools-of-200-pods",
        "10,000 connections of 200 pods, all older than the agents: each once at both ends, in its direction",
        pods=tuple(ScenarioPod(name, listen, "ab"[number % 2]) for number, name in enumerate(names)),
        before=tuple(connect(client, f"pod {server}", 8080, POOL, "hold") for client, server in pools),
        edges=tuple(
            Edge(client, f"pod {server}", 8080, f"Pod {server}", 0, opened_before=POOL) for client, server in pools
        ),
        taken=tuple(
            Taken(server, f"pod {server}", 8080, f"pod {client}", POOL, opened_before=True) for client, server in pools
        ),
        window="pools",
    )


def held_before(count: int) -> Connect:
    """Connections of the web to the shop that stay open."""
    return connect("web", "pod shop", 8080, count, "hold")


SCENARIOS = (
    ring(),
    Scenario(
        "passed-to-another-pod",
        "a connection that its pod passed to another pod's process is nobody's edge: cgroup and address contradict",
        pods=(WEB, SHOP, ScenarioPod("worker")),
        before=(held_before(3), Do("pass", "web", ("worker", "3"))),
        steps=(connect("web", "pod shop", 8080, 5),),
        edges=(web_to_shop(5),),
        taken=(shop_took(3, opened_before=True), shop_took(5)),
        opened_uncompared=3,
    ),
    Scenario(
        "accepted-and-passed",
        "the same at the accepting end: the client's edge stays, and no pod is named that took it",
        pods=(WEB, SHOP, ScenarioPod("worker")),
        before=(held_before(3), Do("pass", "shop", ("worker", "3"))),
        edges=(web_to_shop(0, opened_before=3),),
    ),
    Scenario(
        "held-by-two-pods",
        "a connection that two pods hold belongs to neither: counted, and compared with nothing at the far end",
        pods=(WEB, SHOP, ScenarioPod("worker")),
        before=(held_before(3), Do("pass", "web", ("worker", "3", "keep"))),
        taken=(shop_took(3, opened_before=True),),
        opened_uncompared=3,
    ),
    Scenario(
        "passed-in-the-window",
        "who connected in the window decides, whoever has the connection at its end",
        pods=(WEB, SHOP, ScenarioPod("worker")),
        steps=(held_before(3), Do("pass", "web", ("worker", "3"))),
        edges=(web_to_shop(3),),
        taken=(shop_took(3),),
    ),
    Scenario(
        "inherited",
        "a connection that forks inherit is one connection, at both ends",
        pods=(WEB, SHOP),
        before=(held_before(3), Do("fork", "web", ("3",)), Do("fork", "web", ("3",)), Do("fork", "shop", ("3",))),
        edges=(web_to_shop(0, opened_before=3),),
        taken=(shop_took(3, opened_before=True),),
    ),
    Scenario(
        "half-closed",
        "a connection that its client has half closed is open, at both ends",
        pods=(WEB, SHOP),
        before=(held_before(3), Do("half-close", "web", ("3",))),
        edges=(web_to_shop(0, opened_before=3),),
        taken=(shop_took(3, opened_before=True),),
    ),
    Scenario(
        "half-closed-by-the-server",
        "the same by the server",
        pods=(WEB, SHOP),
        before=(held_before(3), Do("half-close", "shop", ("3",))),
        edges=(web_to_shop(0, opened_before=3),),
        taken=(shop_took(3, opened_before=True),),
    ),
    Scenario(
        "time-wait",
        "what was closed before the window is not open, though the kernel remembers it",
        pods=(WEB, ScenarioPod("shop", (8080,))),
        before=(connect("web", "pod shop", 8080, 7),),
        steps=(connect("web", "pod shop", 8080, 5),),
        edges=(web_to_shop(5),),
        taken=(shop_took(5),),
    ),
    Scenario(
        "open-before-closed-within",
        "a connection from before the window that ends in it was open in it",
        pods=(WEB, SHOP),
        before=(held_before(3),),
        steps=(Do("drains", "2"), connect("web", "pod shop", 8080, 0, "release"), Do("drains", "1")),
        edges=(web_to_shop(0, opened_before=3),),
        taken=(shop_took(3, opened_before=True),),
    ),
    Scenario(
        "outlives-two-windows",
        "a connection that is older than one window and lives beyond the next is open before both, once in each",
        pods=(WEB, SHOP),
        before=(held_before(3),),
        second=(connect("web", "pod shop", 8080, 5),),
        edges=(web_to_shop(0, opened_before=3), web_to_shop(0, opened_before=3, window=1), web_to_shop(5, window=1)),
        taken=(shop_took(3, opened_before=True), shop_took(3, window=1, opened_before=True), shop_took(5, window=1)),
        window="two",
    ),
    Scenario(
        "full-backlog",
        "a listener that accepts nothing: what its queue holds is established at both ends, the rest was tried",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "full"},))),
        steps=(held_before(3), connect("web", "pod shop", 8080, 2, established=0)),
        edges=(web_to_shop(5, failed=2, errno=110),),
        taken=(shop_took(3),),
    ),
    Scenario(
        "full-backlog-before",
        "connections in the queue of a listener are no process's: the client's end alone is open before",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "full"},))),
        before=(held_before(3),),
        steps=(connect("web", "pod shop", 8080, 2, established=0),),
        edges=(web_to_shop(0, opened_before=3), web_to_shop(2, failed=2, errno=110)),
    ),
)
