"""How a connect ends: each outcome with its errno, as the kernel told the program."""

from errno import ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT

from lab.nodes import BLACKHOLE, DEAD, NOWHERE
from tests.scenarios.table import Edge, Left, Pod, Scenario, Taken, connect

WEB, SHOP = Pod("web"), Pod("shop", (8080,))

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
)
