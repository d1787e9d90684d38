"""The faults of the recorded runs, in their order: each kind on different targets of both applications."""

from chaos.control.judge.prediction import PlannedFault, Target


def edge(fault: str, text: str) -> PlannedFault:
    """A fault of an edge."""
    return PlannedFault(fault, Target(edge=text))


def pods(fault: str, workload: str, percentage: int = 100) -> PlannedFault:
    """A fault of a share of a workload's pods."""
    return PlannedFault(fault, Target(workload=workload), affected_percentage=percentage)


SHOP_FAULTS = (
    edge("edge-partition", "shop/frontend -> shop/cart:8080"),
    edge("edge-loss", "shop/frontend -> shop/catalog:8080"),
    edge("edge-partition", "shop/catalog -> shop/cart:8080"),
    pods("pod-network-partition", "shop/cart"),
    pods("pod-network-partition", "shop/catalog"),
    pods("container-kill", "shop/catalog", 50),
    edge("edge-partition", "shop/payments -> shop/catalog-v6:8080"),
    pods("pod-network-loss", "shop/catalog"),
    pods("pod-connect-refused", "shop/frontend"),
    pods("container-kill", "shop/payments"),
    pods("pod-network-partition", "shop/cart", 50),
    pods("pod-connect-refused", "shop/payments"),
    pods("container-kill", "shop/cart"),
    edge("edge-partition", "shop/warehouse -> shop/catalog:8080"),
)
TRAVEL_FAULTS = (
    edge("edge-partition", "travel/payment -> travel/bank:8080"),
    edge("edge-partition", "travel/fares -> travel/exchange:8080"),
    edge("edge-partition", "travel/search -> travel/fares:8080"),
    edge("edge-partition", "travel/profile -> travel/sessions:8080"),
    edge("edge-partition", "travel/booking -> travel/mail:8080"),
    edge("edge-loss", "travel/booking -> travel/seats:8080"),
    edge("edge-loss", "travel/web -> travel/reviews:8080"),
    edge("edge-partition", "travel/flights -> travel/storage:8080"),
    pods("pod-network-partition", "travel/storage"),
    pods("pod-network-partition", "travel/fares"),
    pods("pod-network-partition", "travel/ledger"),
    pods("pod-network-partition", "travel/seats", 50),
    pods("pod-network-loss", "travel/flights"),
    pods("pod-connect-refused", "travel/booking"),
    pods("pod-connect-refused", "travel/fares"),
    pods("pod-connect-refused", "travel/search"),
    pods("container-kill", "travel/bank"),
    pods("container-kill", "travel/mail"),
    pods("container-kill", "travel/exchange"),
    pods("container-kill", "travel/search", 50),
    pods("container-kill", "travel/sessions"),
    edge("edge-partition", "travel/web -> travel/booking:8080"),
)
