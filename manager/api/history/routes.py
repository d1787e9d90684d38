"""The routes of maps and history: (method, path below a prefix, handler). What changes something needs scope admin."""

from collections.abc import Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.changes import ChangeHandlers
from manager.api.history.explain import ExplainHandlers
from manager.api.history.graph import GraphHandlers
from manager.api.history.policy_flows import PolicyHandlers
from manager.api.history.tags import TagHandlers
from manager.api.history.window_maps import MapHandlers
from manager.history.service import History
from manager.store.tokens.token_format import Scope

HistoryRoute = tuple[str, str, Callable[[Request], Response]]
AGENT = "/agents/{agent_identity}"
POLLED = {f"{AGENT}/map", f"{AGENT}/windows"}  # what pages ask for again and again


def scope_of(method: str) -> Scope:
    """The scope that a key needs for a route of that method: a key that only reads changes nothing."""
    return "read" if method == "GET" else "admin"


def history_routes(history: History) -> Iterator[HistoryRoute]:
    """Every route; `scope_of` its method is the scope of its key."""
    maps, tags = MapHandlers(history.maps), TagHandlers(history.maps, history.clock)
    yield "GET", f"{AGENT}/map", maps.service_map
    yield "GET", f"{AGENT}/windows", maps.windows
    changes = ChangeHandlers(history.maps, history.archive, history.clock)
    yield "GET", f"{AGENT}/changes", changes.changes
    yield "GET", f"{AGENT}/diff", changes.diff
    yield "GET", f"{AGENT}/edges/history", changes.history
    yield "GET", f"{AGENT}/explain", ExplainHandlers(history.maps, changes.seen).explain
    yield "GET", f"{AGENT}/policyflows", PolicyHandlers(history.maps).flows
    graph = GraphHandlers(history.maps)
    yield "GET", f"{AGENT}/graph/nodes", graph.nodes
    yield "GET", f"{AGENT}/graph/edges", graph.edges
    yield "GET", f"{AGENT}/tags", tags.list
    yield "PUT", f"{AGENT}/tags/{{name}}", tags.put
    yield "DELETE", f"{AGENT}/tags/{{name}}", tags.delete
