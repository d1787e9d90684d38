"""Ways through the cluster's network: services of every kind, nodes, the outside, both IP families."""

from tests.scenarios.table import Edge, Left, Masquerade, Pod, Scenario, Service, Taken, connect

WEB, SHOP = Pod("web"), Pod("shop", (8080,))

SCENARIOS = (
    Scenario(
        "clusterip-nftables",
        "the record names the service that was dialled; the accepting end names the pod behind it",
        pods=(WEB, SHOP),
        services=(Service("shop", "shop", 80, 8080),),
        steps=(connect("web", "service shop", 80, 23),),
        edges=(Edge("web", "service shop", 80, "Service shop", 23),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 23),),
        backends={"shop": {"shop": 23}},
    ),
    Scenario(
        "clusterip-iptables",
        "iptables in place of nftables changes nothing",
        pods=(WEB, SHOP),
        services=(Service("shop", "shop", 80, 8080, proxy="iptables"),),
        steps=(connect("web", "service shop", 80, 19),),
        edges=(Edge("web", "service shop", 80, "Service shop", 19),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 19),),
        backends={"shop": {"shop": 19}},
    ),
    Scenario(
        "two-backends",
        "each backend is named with its own count, on whichever node it is",
        pods=(WEB, Pod("shop-1", (8080,), app="shop"), Pod("shop-2", (8080,), "b", app="shop")),
        services=(Service("shop", "shop", 80, 8080),),
        steps=(connect("web", "service shop", 80, 29),),
        edges=(Edge("web", "service shop", 80, "Service shop", 29),),
        taken=(Taken("shop-1", "pod shop-1", 8080, "pod web", 15), Taken("shop-2", "pod shop-2", 8080, "pod web", 14)),
        backends={"shop": {"shop-1": 15, "shop-2": 14}},
    ),
    Scenario(
        "headless",
        "a headless service has no address: the pod's own is dialled and recorded",
        pods=(WEB, SHOP),
        services=(Service("shop", "shop", 8080, 8080, family=""),),
        steps=(connect("web", "pod shop", 8080, 17),),
        edges=(Edge("web", "pod shop", 8080, "Pod shop", 17),),
        taken=(Taken("shop", "pod shop", 8080, "pod web", 17),),
        backends={"shop": {"shop": 17}},
    ),
    Scenario(
        "external",
        "an address in no range of the cluster is External",
        pods=(WEB,),
        steps=(connect("web", "outside", 4431, 13),),
        edges=(Edge("web", "outside", 4431, "External", 13),),
        taken_left=(Left("not_a_pod", 13),),
    ),
    Scenario(
        "ipv6-clusterip",
        "IPv6 is recorded as IPv4 is",
        pods=(WEB, SHOP),
        services=(Service("shop", "shop", 80, 8080, family="6"),),
        steps=(connect("web", "service6 shop", 80, 11),),
        edges=(Edge("web", "service6 shop", 80, "Service shop", 11),),
        taken=(Taken("shop", "pod6 shop", 8080, "pod6 web", 11),),
        backends={"shop": {"shop": 11}},
    ),
    Scenario(
        "masquerade-on",
        "behind a masquerade the accepting end sees a node: compared by sums, never pair by pair",
        pods=(WEB, Pod("shop", (8080,), "b")),
        services=(Service("shop", "shop", 80, 8080),),
        masquerade=(Masquerade("a", "pod web", "pod shop"),),
        steps=(connect("web", "service shop", 80, 31),),
        edges=(Edge("web", "service shop", 80, "Service shop", 31),),
        taken=(Taken("shop", "pod shop", 8080, "node a", 31),),
        backends={"shop": {"shop": 31}},
    ),
)
