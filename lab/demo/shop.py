"""The demo's cluster, declared: Kubernetes objects of the namespace `shop`, and the edges that its pods make."""

from dataclasses import dataclass
from typing import Any

from lab.applications.application import Application, Service, Workload
from lab.simulated.network import OUTSIDE
from lab.simulated.pods import Lab

NAMESPACE = "shop"


@dataclass(frozen=True, slots=True)
class DemoEdge:
    """Exactly `count` connects of one workload's first pod to an address, in a mode of the pod's program."""

    source: str
    kind: str
    name: str
    address: str
    port: int
    count: int
    mode: str = "close"
    refused: bool = False

    def truth(self) -> dict[str, Any]:
        """The edge as a correct map shows it."""
        opened_before = self.mode == "hold"
        return {
            "source": self.source,
            "destination": {"kind": self.kind, "name": self.name, "address": self.address},
            "port": self.port,
            "attempts": 0 if opened_before else self.count,
            "established": 0 if self.refused else self.count,
            "failed": self.count if self.refused else 0,
            "openedBefore": opened_before,
            "shortLived": self.mode == "fork",
        }


WORKLOADS = (
    Workload("frontend", (10,)),
    Workload("cart", (11, 12), (8080,)),
    Workload("catalog", (13, 14), (8080,)),
    Workload("payments", (15,), (9090,)),
    Workload("ledger", (16,)),
    Workload("pinger", (17,)),
    Workload("warehouse", (18,)),
)
SERVICES = (
    Service("cart", "cart", "10.96.7.10", 8080),
    Service("catalog", "catalog", "10.96.7.11", 8080),
    Service("catalog-v6", "catalog", "fd00:96:7::11", 8080),
    Service("payments", "payments", None, 9090),
    Service("ledger", "ledger", "10.96.7.13", 8443),
)
EDGES = (
    DemoEdge("frontend", "Service", "cart", "10.96.7.10", 8080, 23),
    DemoEdge("frontend", "Service", "catalog", "10.96.7.11", 8080, 19),
    DemoEdge("frontend", "Service", "catalog-v6", "fd00:96:7::11", 8080, 17),
    DemoEdge("frontend", "External", OUTSIDE, OUTSIDE, 443, 43),
    DemoEdge("cart", "Pod", "payments", "10.244.7.15", 9090, 13),
    DemoEdge("cart", "Service", "ledger", "10.96.7.13", 8443, 11, refused=True),
    DemoEdge("catalog", "Service", "cart", "10.96.7.10", 8080, 5),
    DemoEdge("payments", "External", OUTSIDE, OUTSIDE, 443, 7),
    DemoEdge("payments", "Service", "catalog-v6", "fd00:96:7::11", 8080, 41),
    DemoEdge("pinger", "Service", "cart", "10.96.7.10", 8080, 29, mode="fork"),
    DemoEdge("warehouse", "Service", "cart", "10.96.7.10", 8080, 31),
    DemoEdge("warehouse", "Pod", "payments", "fd00:244:7::15", 9090, 37),
    DemoEdge("warehouse", "Service", "catalog", "10.96.7.11", 8080, 3, mode="hold"),
)


SHOP = Application(NAMESPACE, WORKLOADS, SERVICES)


def objects() -> list[dict[str, Any]]:
    """Every object of the cluster, owners before what they own."""
    return SHOP.objects()


def start_pods(lab: Lab, uids: dict[str, str]) -> None:
    """Start all pods in the lab; `uids` maps pod names to the uids that the API server assigned."""
    SHOP.start_pods(lab, uids)


def first_pods() -> dict[str, str]:
    """The pod of each workload that connects."""
    return SHOP.first_pods()


def make_connects(lab: Lab, before_window: bool) -> list[dict[str, Any]]:
    """Make the connects of the edges before or in the window; return the truth with the counts of the pods' own
    program.
    """
    pods = first_pods()
    done = []
    for edge in EDGES:
        if (edge.mode == "hold") == before_window:
            result = lab.pods[pods[edge.source]].connect(edge.address, edge.port, edge.count, edge.mode)
            done.append({**edge.truth(), "program": result})
    return done
