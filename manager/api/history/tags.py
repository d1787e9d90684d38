"""Names of windows: a release, the evening before a change."""

import re
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.window_maps import find_window
from manager.api.lists import correlation_of
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.responses import json_response
from manager.store.maps.windows import list_tags, tag_window

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
RESERVED = ("latest", "previous")
MAX_TAGS = 1000


class TagHandlers:
    """Handlers over the names of an agent's windows."""

    def __init__(self, maps: WindowMaps, clock: Callable[[], int]) -> None:
        self.maps, self.store, self.clock = maps, maps.store, clock

    def list(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/tags."""
        agent = agent_in_path(self.store, request)
        items = [{"name": name, "window": window} for name, window in list_tags(self.store, agent.id).items()]
        return json_response({"correlationID": correlation_of(request), "items": items})

    def put(self, request: Request) -> Response:
        """PUT /agents/{agentIdentity}/tags/{name}?window=ID: the window has the name from now on, and no other."""
        agent = agent_in_path(self.store, request)
        name = request.path_params["name"]
        if not NAME.fullmatch(name) or name in RESERVED or name[:4].isdigit():
            raise HTTPException(
                400, "name: expected 1 to 63 letters, digits and . _ - that begin with no year, such as release-41"
            )
        window = find_window(self.maps, agent, request.query_params.get("window", "latest"))
        if window is None:
            raise HTTPException(404, "no such window")
        known = list_tags(self.store, agent.id)
        if name not in known and len(known) >= MAX_TAGS:
            raise HTTPException(409, f"{MAX_TAGS} windows have a name, and no more may")
        tag_window(self.store, agent.id, name, window.id, self.clock())
        return json_response({"name": name, "window": window.id})

    def delete(self, request: Request) -> Response:
        """DELETE /agents/{agentIdentity}/tags/{name}: no window has the name from now on."""
        agent = agent_in_path(self.store, request)
        tag_window(self.store, agent.id, request.path_params["name"], None, self.clock())
        return Response(status_code=204)
