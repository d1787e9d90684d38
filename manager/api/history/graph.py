"""A window as Grafana's node graph panel takes it: a list of nodes and a list of edges.

https://grafana.com/docs/grafana/latest/panels-visualizations/visualizations/node-graph/ names the fields. The panel
draws at most 1,500 nodes: of more, those with the most attempts are answered. It writes a number with two decimals
(`statToString` of its utils.ts), a text as it is: counts are texts. An edge without one of its nodes stops the panel.
An edge's arrowhead is found by `url(#…id)`, where a parenthesis or a space of a name would end the id: it is a digest.
"""

import hashlib
from collections import Counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.window_maps import find_window
from manager.history.map_json import map_of
from manager.history.map_tables import of_namespace
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.responses import json_response

MAX_NODES = 1500


class GraphHandlers:
    """Handlers over the map of a window."""

    def __init__(self, maps: WindowMaps) -> None:
        self.maps, self.store = maps, maps.store

    def nodes(self, request: Request) -> Response:
        """GET …/graph/nodes?window=&namespace=: services and what they reach."""
        return json_response(graph_nodes(self.found(request)))

    def edges(self, request: Request) -> Response:
        """GET …/graph/edges?window=&namespace=: who connects to whom, all ports together."""
        return json_response(graph_edges(self.found(request)))

    def found(self, request: Request) -> dict[str, Any]:
        """The map that a request asks for."""
        agent = agent_in_path(self.store, request)
        window = find_window(self.maps, agent, request.query_params.get("window", "latest"))
        if window is None:
            raise HTTPException(404, "no window has been observed")
        tables = self.maps.tables(agent, window)
        namespace = request.query_params.get("namespace", "")
        return map_of(of_namespace(tables, namespace) if namespace else tables)


def drawn(found: dict[str, Any]) -> set[str]:
    """The ids of the nodes that there is room for."""
    weight: Counter[str] = Counter({one["id"]: 0 for one in found["services"]})
    for edge in found["edges"]:
        weight[edge["source"]] += edge["attempts"]
        weight[edge["destination"]] += edge["attempts"]
    return {name for name, _ in weight.most_common(MAX_NODES)}


def graph_nodes(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes; the arc around one is the share of connects to it that fail."""
    attempts: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for edge in found["edges"]:
        attempts[edge["destination"]] += edge["attempts"]
        failed[edge["destination"]] += edge["failed"]
    shown = drawn(found)
    rows = []
    for one in found["services"]:
        if one["id"] in shown:
            share = min(1.0, failed[one["id"]] / max(1, attempts[one["id"]]))
            rows.append(
                {
                    "id": one["id"],
                    "title": one["name"],
                    "subtitle": one["namespace"] or one["kind"],
                    "mainstat": f"{attempts[one['id']]:,}",
                    "secondarystat": failed_text(failed[one["id"]]),
                    "arc__failed": share,
                    "arc__ok": 1 - share,
                    "detail__kind": one["kind"],
                    "detail__pods": one["pods"],
                }
            )
    return rows


def failed_text(failed: int) -> str:
    """How many connects failed; nothing where none did."""
    return f"{failed:,} failed" if failed else ""


def graph_edges(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The edges, one per pair of nodes."""
    shown, pairs = drawn(found), dict[tuple[str, str], list[int]]()
    for edge in found["edges"]:
        ends = (edge["source"], edge["destination"])
        if shown.issuperset(ends):
            sums = pairs.setdefault(ends, [0, 0])
            sums[0] += edge["attempts"]
            sums[1] += edge["failed"]
    return [
        {
            "id": hashlib.sha256(f"{source}\0{target}".encode()).hexdigest()[:32],
            "source": source,
            "target": target,
            "mainstat": f"{attempts:,}",
            "secondarystat": failed_text(failed),
            "color": "red" if failed else "gray",
        }
        for (source, target), (attempts, failed) in pairs.items()
    ]
