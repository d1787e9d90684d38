"""Windows of many batches, written as a push writes them, but in one transaction."""

import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from manager.schema.push_schema import ConnectionsBatch, read_batch
from manager.store.batches.writes import store_connections
from manager.store.database import Store
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, rfc3339
from tests.manager.fresh_database import agent_of
from tests.manager.shop import observed, taken

HOUR_NS = 3600 * NS_PER_SECOND
NODES = ("node-a", "node-b", "Node-A", "node-aa", "nöde", "n", "node-10", "node-9")
# Two names with the same CRC-32: the index takes one for the other.
PODS = ("plumless", "buckeroo", "uid-load-1", "uid-cart-1", "uid-frontend-1")


class Pushed(NamedTuple):
    """A batch as it was pushed."""

    batch_id: str
    node_name: str
    received_ns: int
    body: dict[str, Any]


@dataclass(frozen=True)
class FilledWindow:
    """A window, and its batches in the order of lists."""

    window: Window
    pushed: list[Pushed]


def record(dice: random.Random, number: int) -> dict[str, Any]:
    """A connection between two of a few pods, or from one to an address."""
    ends: dict[str, Any] = {"sourcePod": {"uid": dice.choice(PODS), "namespace": "shop"}}
    if dice.random() < 0.5:
        ends["destinationPod"] = {"uid": dice.choice(PODS), "kind": "Pod", "name": "p"}
    return {
        "sourceIP": "10.1.1.10",
        "destinationIP": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        "destinationPort": str(dice.randrange(65536)),
        "kubernetes": ends,
        "attempts": number,
        "established": number,
        # A member of a later version, which a list does not show.
        "unknown": dice.randbytes(dice.choice((0, 0, 0, 3000))).hex(),
    }


def fill_window(store: Store, hour: int, sizes: list[int], dice: random.Random) -> FilledWindow:
    """Store a window with batches of so many connections each."""
    agent_id = agent_of(store)
    window = Window(hour * HOUR_NS, hour * HOUR_NS + 60 * NS_PER_SECOND)
    pushed = []
    with store.writing() as connection:
        for size in sizes:
            name = dice.randbytes(8).hex()
            node = dice.choice(NODES)
            accepted = [taken("cart-1", "10.1.1.20", 80, "10.1.1.10", n) for n in range(dice.choice((0, 0, 1, 3)))]
            body = observed(node, [record(dice, number) for number in range(size)], accepted)
            body["window"] = {"start": rfc3339(window.start_ns), "end": rfc3339(window.end_ns)}
            one = Pushed(f"b-{name}", node, hour * HOUR_NS + len(pushed), body)
            batch = read_batch(orjson.dumps(body))
            assert isinstance(batch, ConnectionsBatch)
            store_connections(connection, agent_id, one.batch_id, batch, one.received_ns)
            pushed.append(one)
    return FilledWindow(window, sorted(pushed, key=lambda one: (one.node_name.encode(), one.batch_id)))
