"""Time: addresses that change hands, connections older than the window or longer than it, a clock that jumps."""

from lab.simulated.two_nodes import BLACKHOLE, CLOSED_FIRST
from tests.scenarios.table import (
    Do,
    Edge,
    Scenario,
    ScenarioPod,
    ScenarioService,
    Taken,
    connect,
    shop_took,
    web_to_shop,
)

WEB, SHOP = ScenarioPod("web"), ScenarioPod("shop", (8080,))
ORDERS = ScenarioService("shop", "shop", 80, 8080)

SCENARIOS = (
    Scenario(
        "address-changes-hands-at-server",
        "an address of two pods within one flow is Ambiguous; the accepting end still knows who took what",
        pods=(WEB, SHOP, ScenarioPod("heir", (8080,), late=True, heir="shop")),
        steps=(
            connect("web", "pod shop", 8080, 5),
            Do("delete", "shop"),
            Do("start", "heir"),
            connect("web", "pod shop", 8080, 7),
        ),
        edges=(Edge("web", "pod shop", 8080, "Ambiguous", 12, reason="several_owners"),),
        taken=(
            shop_took(5),
            Taken("heir", "pod shop", 8080, "pod web", 7),
        ),
    ),
    Scenario(
        "address-changes-hands-at-client",
        "two pods that had the same address one after the other are two sources, by their cgroups",
        pods=(WEB, SHOP, ScenarioPod("heir", late=True, heir="web")),
        steps=(
            connect("web", "pod shop", 8080, 5),
            Do("delete", "web"),
            Do("start", "heir"),
            connect("heir", "pod shop", 8080, 7),
        ),
        edges=(
            web_to_shop(5),
            Edge("heir", "pod shop", 8080, "Pod shop", 7),
        ),
        taken=(shop_took(12),),
    ),
    Scenario(
        "open-before",
        "connections older than the window are recorded once at each end",
        pods=(WEB, SHOP),
        services=(ORDERS,),
        before=(connect("web", "service shop", 80, 3, "hold"),),
        steps=(connect("web", "service shop", 80, 5),),
        edges=(
            Edge("web", "service shop", 80, "Service shop", 0, opened_before=3),
            Edge("web", "service shop", 80, "Service shop", 5),
        ),
        taken=(shop_took(3, opened_before=True), shop_took(5)),
    ),
    Scenario(
        "open-before-ipv6",
        "the same over IPv6",
        pods=(WEB, SHOP),
        before=(connect("web", "pod6 shop", 8080, 5, "hold"),),
        edges=(Edge("web", "pod6 shop", 8080, "Pod shop", 0, opened_before=5),),
        taken=(Taken("shop", "pod6 shop", 8080, "pod6 web", 5, opened_before=True),),
    ),
    Scenario(
        "open-before-listener-gone",
        "a server that stopped listening is not taken for the client of its old connections",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "deaf"},))),
        before=(connect("web", "pod shop", 8080, 3, "hold"), Do("stop-listening", "shop", ("3",))),
        edges=(web_to_shop(0, opened_before=3),),
        taken=(shop_took(3, opened_before=True),),
    ),
    Scenario(
        "open-before-hostnetwork",
        "two pods on the node's own network: each connection from before the window is its holder's",
        pods=(ScenarioPod("proxy", host_network=True), ScenarioPod("twin", host_network=True), SHOP),
        before=(connect("proxy", "pod shop", 8080, 3, "hold"), connect("twin", "pod shop", 8080, 5, "hold")),
        edges=(
            Edge("proxy", "pod shop", 8080, "Pod shop", 0, opened_before=3),
            Edge("twin", "pod shop", 8080, "Pod shop", 0, opened_before=5),
        ),
        taken=(Taken("shop", "pod shop", 8080, "pod proxy", 8, opened_before=True),),
    ),
    Scenario(
        "held-in-the-window",
        "a connection made in the window and kept open is not also one from before",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 8080, 7, "hold"),),
        edges=(web_to_shop(7),),
        taken=(shop_took(7),),
    ),
    Scenario(
        "straddles-two-windows",
        "made in one window and still open in the next: an attempt there, open before here",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 8080, 5, "hold"),),
        second=(connect("web", "pod shop", 8080, 7),),
        edges=(web_to_shop(5), web_to_shop(0, opened_before=5, window=1), web_to_shop(7, window=1)),
        taken=(shop_took(5), shop_took(5, window=1, opened_before=True), shop_took(7, window=1)),
        window="two",
    ),
    Scenario(
        "attempt-straddles-two-windows",
        "begun in one window and given up in the next: unfinished there, and no attempt here",
        pods=(WEB,),
        steps=(connect("web", BLACKHOLE, 443, 3, "pending", established=0),),
        second=(connect("web", BLACKHOLE, 443, 0, "release"),),
        edges=(Edge("web", BLACKHOLE, 443, "External", 3, unfinished=3),),
        window="two",
    ),
    Scenario(
        "clock-stepped",
        "the wall clock jumps by an hour in the window: it ends when it should, and its times stay in it",
        pods=(WEB, SHOP),
        steps=(
            connect("web", "pod shop", 8080, 5),
            Do("clock", "3600"),
            Do("drains", "2"),
            connect("web", "pod shop", 8080, 7),
            Do("clock", "-7200"),
            Do("drains", "2"),
            connect("web", "pod shop", 8080, 11),
        ),
        edges=(web_to_shop(23),),
        taken=(shop_took(23),),
        window="clock",
    ),
    Scenario(
        "map-full",
        "10,007 destinations and room for 4,096: half of the room is the pod's, the rest is summed, nothing is lost",
        pods=(WEB,),
        steps=(connect("web", CLOSED_FIRST, 443, 10_007, "spread", established=0),),
        spread=CLOSED_FIRST,
        window="small",
    ),
)
