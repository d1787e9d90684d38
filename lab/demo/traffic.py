"""The sample shop under way: every declared edge is exercised by requests of its own, so that no edge needs another."""

from lab.applications.behaviour import Behaviour, Call, Root
from lab.demo import shop

LEAST_PER_SECOND = 3.0
SECONDS = 5.0  # in which an edge makes as many connects as are declared


def root(edge: shop.DemoEdge) -> Root:
    """The requests of an edge; one that is held stays open, one that is refused harms nobody."""
    call = Call(
        edge.name,
        required=not edge.refused,
        pooled=edge.mode == "hold",
        asks=edge.kind != "External",
        address=edge.address,
        port=edge.port,
    )
    return Root(max(LEAST_PER_SECOND, edge.count / SECONDS), [call])


SHOP_TRAFFIC = Behaviour(
    shop.SHOP,
    begins={
        name: [root(edge) for edge in shop.EDGES if edge.source == name]
        for name in dict.fromkeys(edge.source for edge in shop.EDGES)
    },
)
