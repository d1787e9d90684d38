"""Windows of a small cluster as two agents push them, to a real manager: four edges, each with its counts.

`load → frontend → cart → db`, and `cart → 203.0.113.9`; frontend runs on node-a, load and db on node-b, cart on both.
"""

import secrets
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from podsonar.model import Purpose, Window
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.conftest import Running
from tests.manager.fresh_database import fresh_id
from tests.manager.shop import connection, inventory, observed, taken

TENANT = Tenant("acc", "org", "pro", "env")
LOAD, CART, DB = "shop/load -> shop/frontend:80", "shop/frontend -> shop/cart:7000", "shop/cart -> shop/db:5432"
OUTSIDE = "shop/cart -> 203.0.113.9:443"


class Counts(NamedTuple):
    """Connects of an edge."""

    established: int
    failed: int = 0


USUAL, RARE = Counts(20), Counts(2)


class ObservedShop:
    """An agent of the tenant, named as the infrastructure, and what it pushes of a namespace."""

    def __init__(self, url: str, store: Store, infra: str, start_ns: int, namespace: str = "shop") -> None:
        self.namespace = namespace
        token = create_token(store, "ingest", infra, 1, secrets.token_bytes, tenant=TENANT)
        self.running = Running(url, "", token.text(), "")
        self.push(inventory() | {"window": window_of(start_ns, 1).wire()})

    def push(self, body: dict[str, Any]) -> None:
        """Push a batch."""
        named = orjson.dumps(body).replace(b'"shop"', orjson.dumps(self.namespace))
        answer = self.running.push(orjson.loads(named), fresh_id())
        assert answer.status_code == 201, answer.text

    def window(
        self,
        start_ns: int,
        seconds: float,
        *,
        load: Counts = USUAL,
        cart: Counts = USUAL,
        db: Counts = USUAL,
        outside: Counts = RARE,
        nodes: str = "ab",
        lost: int = 0,
        purpose: Purpose | None = None,
    ) -> str:
        """Push what the agents of some nodes saw in a window, and return its id; node-b has lost so many records."""
        window = replace(window_of(start_ns, seconds), purpose=purpose)
        if "a" in nodes:
            connections = [
                made("frontend-1", "10.1.1.10", "10.96.0.11", 7000, cart, service="cart"),
                made("cart-1", "10.1.1.20", "10.96.0.12", 5432, db, service="db"),
                made("cart-1", "10.1.1.20", "203.0.113.9", 443, outside),
            ]
            accepted = [
                taken("frontend-1", "10.1.1.10", 8080, "10.1.2.40", load.established),
                taken("cart-1", "10.1.1.20", 8080, "10.1.1.10", cart.established),
            ]
            self.push_node("node-a", window, connections, accepted)
        if "b" in nodes:
            connections = [made("load-1", "10.1.2.40", "10.96.0.10", 80, load, service="frontend")]
            accepted = [taken("db-1", "10.1.2.30", 5432, "10.1.1.20", db.established)]
            self.push_node("node-b", window, connections, accepted, lost)
        return window.id

    def push_node(self, node: str, window: Window, connections: list[Any], accepted: list[Any], lost: int = 0) -> None:
        """Push one node's batch; what made no connect has no record."""
        times = {"firstSeen": window.wire()["start"], "lastSeen": window.wire()["end"]}
        kept = [one | times for one in connections if one["attempts"]]
        body = observed(node, kept, [one | times for one in accepted if one["accepted"]])
        body["observation"] |= {"attempts": body["observation"]["attempts"] + lost}
        body["observation"] |= {"lost": {"ring_full": lost}} if lost else {}
        self.push(body | {"window": window.wire()})


def made(source: str, source_ip: str, ip: str, port: int, counts: Counts, **fields: Any) -> dict[str, Any]:
    """A connection record of an edge."""
    failed = {"failed": counts.failed, "errno": 110 if counts.failed else None}
    return connection(source, source_ip, ip, port, n=counts.established, **failed, **fields)


def window_of(start_ns: int, seconds: float) -> Window:
    """A window in whole microseconds, as agents send it."""
    start_ns -= start_ns % 1000
    return Window(start_ns, start_ns + int(seconds * NS_PER_SECOND))
