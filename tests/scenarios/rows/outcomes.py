"""How a connect ends: each outcome with its errno, as the kernel reported it to the program."""

from errno import ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT

from lab.simulated.two_nodes import BLACKHOLE, DEAD, NOWHERE
from tests.scenarios.table import Do, Edge, Scenario, ScenarioPod, Taken, connect, shop_took, web_to_shop

WEB, SHOP = ScenarioPod("web"), ScenarioPod("shop", (8080,))

SCENARIOS = (
    Scenario(
        "refused",
        "a closed port: failed with ECONNREFUSED",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 9999, 23, established=0),),
        edges=(Edge("web", "pod shop", 9999, "Pod shop", 23, failed=23, errno=ECONNREFUSED),),
    ),
    Scenario(
        "timed-out",
        "SYNs that nobody answers: failed with ETIMEDOUT",
        pods=(WEB,),
        steps=(connect("web", BLACKHOLE, 443, 2, established=0),),
        edges=(Edge("web", BLACKHOLE, 443, "External", 2, failed=2, errno=ETIMEDOUT),),
    ),
    Scenario(
        "dead-neighbour",
        "an address on the link that answers no ARP: failed with EHOSTUNREACH",
        pods=(WEB,),
        steps=(connect("web", DEAD, 443, 2, established=0, syns=6),),
        edges=(Edge("web", DEAD, 443, "External", 2, failed=2, errno=EHOSTUNREACH),),
    ),
    Scenario(
        "no-route",
        "without a route the kernel shows no event: not an attempt (bpf/README.md says so)",
        pods=(WEB,),
        steps=(connect("web", NOWHERE, 443, 5, established=0, attempts=0),),
    ),
    Scenario(
        "scanned",
        "half-open connections that the scanning pod's kernel resets: neither attempts, nor accepted, nor lost",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 8080, 23, "half-open", attempts=0), connect("web", "pod shop", 8080, 19)),
        edges=(web_to_shop(19),),
        taken=(shop_took(19),),
    ),
    Scenario(
        "reset-after-accept",
        "a connection that the server resets at once was established all the same",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "reset"},))),
        steps=(connect("web", "pod shop", 8080, 19, "reset"),),
        edges=(web_to_shop(19),),
        taken=(shop_took(19),),
    ),
    Scenario(
        "abandoned",
        "a non-blocking connect that the program closes before it completes: failed, and no errno",
        pods=(WEB,),
        steps=(connect("web", BLACKHOLE, 443, 13, "abandon", established=0),),
        edges=(Edge("web", BLACKHOLE, 443, "External", 13, failed=13),),
    ),
    Scenario(
        "unfinished",
        "a connect that still waits when the window ends is unfinished",
        pods=(WEB,),
        steps=(connect("web", BLACKHOLE, 443, 3, "pending", established=0),),
        edges=(Edge("web", BLACKHOLE, 443, "External", 3, unfinished=3),),
    ),
    Scenario(
        "self-connected",
        "a socket connected to itself is an attempt, and nobody accepted it",
        pods=(WEB,),
        steps=(connect("web", "pod web", 7777, 1, "self"),),
        edges=(Edge("web", "pod web", 7777, "Pod web", 1),),
    ),
    Scenario(
        "socket-used-again",
        "a socket that was refused and then connects elsewhere is two attempts, each to its own port",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 8080, 7, "again", attempts=14, closed=9999),),
        edges=(
            web_to_shop(7),
            Edge("web", "pod shop", 9999, "Pod shop", 7, failed=7, errno=ECONNREFUSED),
        ),
        taken=(shop_took(7),),
    ),
    Scenario(
        "fast-open",
        "TCP Fast Open, without and with a cookie: one attempt each, accepted once each",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "fastopen"},))),
        steps=(connect("web", "pod shop", 8080, 11, "fastopen"),),
        edges=(web_to_shop(11),),
        taken=(shop_took(11),),
    ),
    Scenario(
        "fast-open-unwritten",
        "with a cookie, a socket closed before its first write looks like a failed attempt (bpf/README.md says so)",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "fastopen"},))),
        steps=(
            connect("web", "pod shop", 8080, 1, "fastopen"),
            connect("web", "pod shop", 8080, 5, "fastopen", unwritten=True),
        ),
        edges=(web_to_shop(6, failed=5),),
        taken=(shop_took(1),),
    ),
    Scenario(
        "mptcp",
        "a connection of one subflow is one attempt; the outer socket is none",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "mptcp"},))),
        steps=(connect("web", "pod shop", 8080, 5, "mptcp"),),
        edges=(web_to_shop(5),),
        taken=(shop_took(5),),
    ),
    Scenario(
        "mptcp-to-plain-tcp",
        "MPTCP that falls back to TCP is one attempt",
        pods=(WEB, SHOP),
        steps=(connect("web", "pod shop", 8080, 5, "mptcp"),),
        edges=(web_to_shop(5),),
        taken=(shop_took(5),),
    ),
    Scenario(
        "kernel-thread",
        "a connect made by a kernel thread (a further MPTCP subflow) is its pod's, by the address that only it has",
        pods=(WEB, ScenarioPod("shop", ({"port": 8080, "kind": "mptcp"},))),
        steps=(
            Do("run", "web", ("ip", "mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2")),
            Do("run", "shop", ("ip", "mptcp", "limits", "set", "subflow", "2", "add_addr_accepted", "2")),
            Do("run", "shop", ("ip", "mptcp", "endpoint", "add", "pod shop", "port", "8444", "signal")),
            connect("web", "pod shop", 8080, 3, "mptcp", attempts=6, subflows=2),
        ),
        edges=(
            web_to_shop(3),
            Edge("web", "pod shop", 8444, "Pod shop", 3),
        ),
        taken=(
            shop_took(3),
            Taken("shop", "pod shop", 8444, "pod web", 3),
        ),
    ),
)
