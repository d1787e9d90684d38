"""What network policies are made of and checked against: the connections of a window between pods."""

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.window_maps import find_window
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.versioned import entity_tag, versioned_response
from manager.policies.pod_flows import observed_of
from manager.service_map.topology import build_topology
from manager.store.batches.object_lists import ObjectFilter, iterate_objects
from manager.store.batches.queries import read_summaries


class PolicyHandlers:
    """Handlers over the map and the inventory of a window."""

    def __init__(self, maps: WindowMaps) -> None:
        self.maps, self.store = maps, maps.store

    def flows(self, request: Request) -> Response:
        """GET …/policyflows?window=: pods with labels and ports, labels of namespaces, and connections between pods."""
        agent = agent_in_path(self.store, request)
        window = find_window(self.maps, agent, request.query_params.get("window", "latest"))
        if window is None:
            raise HTTPException(404, "no window has been observed")
        text = self.maps.text(agent, window)
        found = {"window": orjson.loads(text.window), "edges": orjson.loads(text.edges)}
        found["services"] = orjson.loads(text.services)
        topology = build_topology(read_summaries(self.store, agent.id, window))
        spaces = {
            row.body["metadata"]["name"]: dict(row.body["metadata"].get("labels") or {})
            for row in iterate_objects(self.store, ObjectFilter(agent.id, "Namespace"))
        }
        body = orjson.dumps(observed_of(found, topology, spaces).wire())
        return versioned_response(request, [body], entity_tag(agent.id, text.version, str(agent.revision)))
