"""The state of the join: what client-side records can still explain, and how much they explained."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from manager.schema.records import ConnectionRecord, ObjectReference


@dataclass(slots=True)
class Recall:
    """`explained` of `accepted` comparable connections; the rest by reason."""

    accepted: int = 0
    explained: int = 0
    not_comparable: Counter[str] = field(default_factory=Counter)

    @property
    def value(self) -> float | None:
        """The share explained; None if nothing was comparable."""
        return self.explained / self.accepted if self.accepted else None


@dataclass(slots=True)
class Join:
    """`backends[i]` counts per accepting pod what connection i explains; recall per accepting node and over all.

    `in_sums` are the connections that explain something of which only the sum is known: nothing shows which of them
    reached which pod. `pods` has the accepting pods as their nodes named them: one that came and went between two
    inventories is known from nowhere else.
    """

    backends: dict[int, Counter[str]]
    recall: Recall
    nodes: dict[str, Recall]
    in_sums: set[int] = field(default_factory=set)
    pods: dict[str, ObjectReference] = field(default_factory=dict)


class EdgeKey(NamedTuple):
    """Source pod, service and port of a record. Records with the same key are interchangeable."""

    pod_uid: str
    service_uid: str | None
    port: str

    @classmethod
    def of(cls, one: ConnectionRecord) -> "EdgeKey":
        """The edge of a record."""
        service = one.kubernetes.destination_service
        return cls(one.kubernetes.source_pod.uid, service.uid if service else None, one.destination_port)


@dataclass(slots=True)
class ClientBudget:
    """How many accepted connections a client-side record can still explain; `edge` is its key."""

    index: int
    left: int
    edge: EdgeKey


def match(budgets: Iterable[ClientBudget], pod_uid: str, asked: int, join: Join) -> int:
    """Spend the budgets on `asked` accepted connections and return the unexplained rest."""
    for budget in budgets:
        given = min(budget.left, asked)
        if given:
            budget.left -= given
            asked -= given
            join.backends[budget.index][pod_uid] += given
    return asked


def match_in_sum(budgets: Sequence[ClientBudget], asked: int, join: Join) -> int:
    """Spend all budgets together on `asked` and return the unexplained rest; no pod is named for any of them."""
    for budget in budgets:
        given = min(budget.left, asked)
        budget.left -= given
        asked -= given
        join.in_sums.add(budget.index)
    return asked


def add_recall(join: Join, node: str, accepted: int, explained: int) -> None:
    """Add to the recall of the node and of all."""
    for recall in (join.recall, join.nodes[node]):
        recall.accepted += accepted
        recall.explained += explained


def add_reason(join: Join, node: str, reason: str, connections: int) -> None:
    """Name what cannot be compared."""
    for recall in (join.recall, join.nodes[node]):
        recall.not_comparable[reason] += connections
