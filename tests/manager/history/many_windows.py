"""A cluster over many windows: bodies to push, and maps as values."""

from collections.abc import Callable
from typing import Any

from manager.history.service import History
from manager.store.agents import Agent
from manager.store.maps.windows import KeptMap, WindowState
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.browser.generated_map import generate_map

HOUR_NS = 3600 * NS_PER_SECOND
FIRST_NS = parse_rfc3339("2026-10-01T00:00:00Z")


def window_at(place: int, every_ns: int = HOUR_NS) -> Window:
    """The window of a place, hourly unless asked otherwise."""
    start_ns = FIRST_NS + place * every_ns
    return Window(start_ns, start_ns + 120 * NS_PER_SECOND)


def map_at(base: dict[str, Any], place: int, edges: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The base map as that of another window, with other edges if some are given."""
    window = window_at(place)
    changed = {"window": window.wire() | {"id": window.id}, "aggregated": {"connections": 0}}
    return base | changed | ({} if edges is None else {"edges": sorted(edges, key=edge_order)})


def edge_order(edge: dict[str, Any]) -> tuple[str, str, str, str]:
    """Edges as the map orders them."""
    return edge["source"], edge["destination"], edge["port"], edge["type"]


def observed_map(services: int, edges: int, namespaces: int) -> dict[str, Any]:
    """A generated map of which every node was observed, and every service runs on one of them."""
    found = generate_map(services, edges, namespaces)
    whole = {"observed": "whole", "reason": None, "start": None, "end": None}
    for place, one in enumerate(found["services"]):
        one["nodes"] = [f"node-{'ab'[place % 2]}"] if one["kind"] in {"Service", "Workload"} else []
    counts = found["observation"]["node-a"] | {"lost": {}}
    return found | {"coverage": {"node-a": whole, "node-b": whole}, "observation": {"node-a": counts}}


def keep(history: History, agent: Agent, found: dict[str, Any], received_ns: int = 1) -> KeptMap:
    """Keep a map as if it had been computed from batches."""
    start_ns, end_ns = (parse_rfc3339(found["window"][name]) for name in ("start", "end"))
    state = WindowState(Window(start_ns, end_ns), 1, received_ns, end_ns, 0)
    return history.archive.keep(agent.id, state, found, received_ns)


def keep_many(history: History, agent: Agent, windows: int, make: Callable[[int], dict[str, Any]]) -> None:
    """Keep the maps of many windows, and index them once."""
    for place in range(windows):
        keep(history, agent, make(place))
    history.index(agent)
