"""The map of a window, and the list of windows with their totals and names."""

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.lists import correlation_of, parse_number
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.responses import json_response
from manager.http.versioned import entity_tag, versioned_response
from manager.store.agents import Agent
from manager.store.maps.windows import KeptMap, list_kept, list_tags
from podsonar.model import Window
from podsonar.timestamp import rfc3339

MAX_WINDOWS = 10_000


def window_wire(window: Window, kept: KeptMap | None, tags: list[str]) -> dict[str, Any]:
    """A window as the list shows it; `revision` and `totals` are null until its map is kept.

    `purpose` is there for a window that was ordered.
    """
    purpose = window.purpose or (kept.window.purpose if kept else None)
    return {
        "id": window.id,
        **Window(window.start_ns, window.end_ns, purpose).wire(),
        "revision": kept.revision if kept else None,
        "computedAt": rfc3339(kept.computed_ns) if kept else None,
        "totals": kept.document["totals"] if kept else None,
        "recall": kept.document["recall"]["value"] if kept else None,
        "tags": tags,
    }


class MapHandlers:
    """Handlers over the maps of windows."""

    def __init__(self, maps: WindowMaps) -> None:
        self.maps, self.store = maps, maps.store

    def service_map(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/map: what the page draws."""
        agent = agent_in_path(self.store, request)
        windows = self.maps.windows(agent)
        window = find_window(self.maps, agent, request.query_params.get("window", "latest"), windows)
        found = self.maps.text(agent, window, request.query_params.get("namespace", ""))
        names = orjson.dumps([one.id for one in windows])
        head = (b'{"window":', found.window, b',"windows":', names)
        parts = (*head, b',"services":', found.services, b',"edges":', found.edges, b",", found.others)
        tag = entity_tag(agent.id, found.version, request.query_params.get("namespace", ""), names.decode())
        return versioned_response(request, parts, tag)

    def windows(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/windows: newest first; `limit` of them, 100 without it."""
        agent = agent_in_path(self.store, request)
        limit = min(parse_number(request, "limit", 100, 1), MAX_WINDOWS)
        kept = {one.window_id: one for one in list_kept(self.store, agent.id, limit=limit)}
        named: dict[str, list[str]] = {}
        for name, window_id in list_tags(self.store, agent.id).items():
            named.setdefault(window_id, []).append(name)
        shown = self.maps.windows(agent)[:limit]
        items = [window_wire(one, kept.get(one.id), named.get(one.id, [])) for one in shown]
        return json_response({"correlationID": correlation_of(request), "items": items})


def find_window(maps: WindowMaps, agent: Agent, wanted: str, windows: list[Window] | None = None) -> Window | None:
    """The window of an id or a name; for `latest` the newest, None if there is none. 404 if there is no such window.

    `latest` and `previous` are windows of the schedule, if there is one: an ordered one shows seconds of an experiment.
    """
    windows = maps.windows(agent) if windows is None else windows
    usual = [one for one in windows if one.purpose is None] or windows
    if wanted == "latest":
        return usual[0] if usual else None
    if wanted == "previous":
        wanted = usual[1].id if len(usual) > 1 else ""
    by_id = {one.id: one for one in windows}
    found = by_id.get(wanted) or by_id.get(list_tags(maps.store, agent.id).get(wanted, ""))
    if found is None:
        raise HTTPException(404, "no such window")
    return found
