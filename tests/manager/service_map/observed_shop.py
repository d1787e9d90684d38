"""The shop with its nodes observed: its topology, and connections that its services make."""

from manager.schema.push_schema import INVENTORY_LISTS
from manager.service_map.join import Observers
from manager.service_map.topology import build_topology
from manager.store.batches.object_summary import summarize_object
from tests.manager.shop import LISTS, connection

FACTS = {kind: [summarize_object(kind, item) for item in LISTS.get(key, [])] for key, kind in INVENTORY_LISTS.items()}
TOPOLOGY = build_topology(FACTS)
BOTH_WATCHED = Observers(frozenset({"node-a", "node-b"}))
BY_SERVICE = connection("frontend-1", "10.1.1.10", "10.96.0.11", 7000, service="cart", n=23)
DIRECT = connection("frontend-1", "10.1.1.10", "10.1.1.20", 8080, pod="cart-1", n=5)
EARLY = connection("frontend-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=4)
LATE = connection("load-1", "10.1.1.10", "10.1.2.20", 8080, kind="Ambiguous", n=35)
