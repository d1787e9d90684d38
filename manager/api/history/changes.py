"""What changed: edges never seen before, gone or failing since a time, two windows compared, one edge's history."""

import re
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.window_maps import find_window
from manager.api.lists import correlation_of
from manager.history.archive import Archive
from manager.history.edges.diff import count_changes, counts_of, diff_maps, not_comparable
from manager.history.edges.history import read_history
from manager.history.edges.seen import EdgesSeen, SeenEdge
from manager.history.map_json import map_of
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.responses import json_response
from manager.schema.push_schema import LATEST_NS
from manager.store.agents import Agent
from manager.store.maps.windows import list_kept, newest_kept
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339, rfc3339

SPAN = re.compile("([0-9]{1,5})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
MONTH_NS = 30 * 24 * 3600 * NS_PER_SECOND


def seen_wire(edge: SeenEdge) -> dict[str, Any]:
    """An edge with the windows in which it was seen first and last."""
    source, destination, port, protocol = edge.key
    named = {"source": source, "destination": destination, "port": port, "type": protocol}
    return named | {"firstSeen": window_id(edge.first_ns), "lastSeen": window_id(edge.last_ns)}


def window_id(start_ns: int) -> str:
    """The id of a window that starts then."""
    return Window(start_ns, start_ns).id


class ChangeHandlers:
    """Handlers over many windows of an agent."""

    def __init__(self, maps: WindowMaps, archive: Archive, clock: Callable[[], int]) -> None:
        self.maps, self.store, self.archive, self.clock = maps, maps.store, archive, clock
        self.seen = EdgesSeen(archive.files)

    def window(self, agent: Agent, wanted: str) -> Window:
        """The window of an id or a name; 404 if there is none."""
        found = find_window(self.maps, agent, wanted)
        if found is None:
            raise HTTPException(404, "no window has been observed")
        return found

    def time(self, agent: Agent, text: str, newest_ns: int) -> int:
        """A time: RFC 3339, a span before the newest window such as 24h, or just after a window by id or name."""
        span = SPAN.fullmatch(text)
        if span:
            return newest_ns - int(span[1]) * SECONDS[span[2]] * NS_PER_SECOND
        known = {one.id: one for one in self.maps.windows(agent)}
        if text in known:
            return known[text].start_ns + NS_PER_SECOND
        try:
            return min(max(0, parse_rfc3339(text)), LATEST_NS)  # no window is before or behind them
        except InputError:
            return self.window(agent, text).start_ns + NS_PER_SECOND

    def changes(self, request: Request) -> Response:
        """GET …/changes?since=: what the windows since then brought; without `since`, what the newest one did."""
        agent = agent_in_path(self.store, request)
        newest = newest_kept(self.store, agent.id)
        if newest is None:
            raise HTTPException(404, "no window has been kept yet")
        text = request.query_params.get("since", "")
        since_ns = self.time(agent, text, newest.start_ns) if text else newest.start_ns
        before = newest_kept(self.store, agent.id, to_ns=since_ns)
        recent = self.seen.since(agent.id, before.start_ns if before else since_ns)
        edges = map_of(self.archive.read(agent.id, newest))["edges"]
        failed = [
            {name: edge[name] for name in ("source", "destination", "port", "type")} | (counts_of(edge) or {})
            for edge in edges
            if edge["failed"]
        ]
        body = {
            "correlationID": correlation_of(request),
            "since": rfc3339(since_ns),
            "window": newest.window_id,
            "new": sorted((seen_wire(one) for one in recent if one.first_ns >= since_ns), key=by_first),
            "gone": sorted((seen_wire(one) for one in recent if one.last_ns < newest.start_ns), key=by_first),
            "failed": failed,
        }
        return json_response(body)

    def diff(self, request: Request) -> Response:
        """GET …/diff?before=&now=: the edges that differ between two windows, and what may be one of observation."""
        agent = agent_in_path(self.store, request)
        query = request.query_params
        names = (query.get("before", "previous"), query.get("now", "latest"))
        windows = [self.window(agent, name) for name in names]
        before, now = (map_of(self.maps.tables(agent, window)) for window in windows)
        changes = list(diff_maps(before, now))
        body = {
            "correlationID": correlation_of(request),
            "before": windows[0].id,
            "now": windows[1].id,
            "notComparable": not_comparable(before, now),
            "counts": count_changes(changes),
            "changes": [one.wire() for one in changes],
        }
        return json_response(body)

    def history(self, request: Request) -> Response:
        """GET …/edges/history?source=&destination=&port=&type=: counts by window; 30 days unless `from` is given.

        Lists of equal length, the oldest window first; null where the edge was not in the window.
        """
        agent = agent_in_path(self.store, request)
        query = request.query_params
        missing = [name for name in ("source", "destination", "port") if not query.get(name)]
        if missing:
            raise HTTPException(400, f"{missing[0]}: expected an end or the port of an edge, as the map names it")
        key = (query["source"], query["destination"], query["port"], query.get("type", "TCP"))
        newest = list_kept(self.store, agent.id, limit=1)
        newest_ns = newest[0].start_ns if newest else 0
        from_ns = self.time(agent, query["from"], newest_ns) if query.get("from") else newest_ns - MONTH_NS
        windows = list_kept(self.store, agent.id, from_ns=max(0, from_ns))[::-1]
        found = read_history(self.archive, agent.id, windows, key)
        seen = self.seen.find(agent.id, key)
        counts = [found.get(one.start_ns) for one in windows]
        source, destination, port, protocol = key
        body = {
            "correlationID": correlation_of(request),
            "source": source,
            "destination": destination,
            "port": port,
            "type": protocol,
            "firstSeen": window_id(seen.first_ns) if seen else None,
            "lastSeen": window_id(seen.last_ns) if seen else None,
            "windows": [one.window_id for one in windows],
            **{name: [one and getattr(one, name) for one in counts] for name in ("attempts", "established", "failed")},
        }
        return json_response(body)


def by_first(edge: dict[str, Any]) -> tuple[str, ...]:
    """Order of edges: newest first seen last, then by name."""
    return edge["firstSeen"], edge["source"], edge["destination"], edge["port"]
