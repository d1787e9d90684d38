"""The read side of the API: one handler a list, Kubernetes kinds by a table; all of it behind a key of scope read."""

import re
import threading
import uuid
from collections import OrderedDict
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from manager.api.serializers import (
    agent_wire,
    connection_wire,
    discovered_service_wire,
    edge_wire,
    object_wire,
    page_wire,
)
from manager.http.auth import agent_in_path
from manager.service_map.build import NodeReport, build_map
from manager.store.database import Store
from manager.store.queries import list_objects, list_windows, newest_inventory, read_observations, read_summaries
from manager.store.tokens import Agent, list_agents
from podsonar.model import Window

# Path -> Kubernetes kind.
KIND_PATHS = {
    "namespaces": "Namespace",
    "nodes": "Node",
    "services": "Service",
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
}
MAX_LIMIT = 1000
CACHED_MAPS = 16
NUMBER = re.compile("[0-9]{1,9}")


def parse_number(request: Request, name: str, default: int, lowest: int) -> int:
    """A query parameter as a number; 400 if it is none."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not NUMBER.fullmatch(text) or int(text) < lowest:
        raise HTTPException(400, f"{name}: expected a whole number of at least {lowest}")
    return int(text)


def parse_paging(request: Request) -> tuple[int, int, bool]:
    """`page`, `limit` and `all` of a list request."""
    everything = request.query_params.get("all", "false").lower() == "true"
    return parse_number(request, "page", 0, 0), min(parse_number(request, "limit", 10, 1), MAX_LIMIT), everything


def list_response(request: Request, items: list[dict[str, Any]], total: int | None = None) -> dict[str, Any]:
    """A list answer; with `total`, `items` is one page, without it the list has no pages."""
    correlation = request.query_params.get("correlationID") or str(uuid.uuid4())
    body: dict[str, Any] = {"correlationID": correlation, "items": items}
    if total is not None:
        index, limit, everything = parse_paging(request)
        body["page"] = page_wire(index, limit, total, everything)
    return body


def paginate(request: Request, items: list[dict[str, Any]]) -> dict[str, Any]:
    """The page of `items` that was asked for."""
    index, limit, everything = parse_paging(request)
    shown = items if everything else items[index * limit : (index + 1) * limit]
    return list_response(request, shown, len(items))


class ReadHandlers:
    """Handlers over the store; maps are kept until their agent sends something new."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.maps: OrderedDict[tuple[str, int, str, str], dict[str, Any]] = OrderedDict()
        self.lock = threading.Lock()

    def agents(self, request: Request) -> dict[str, Any]:
        """GET /agents."""
        rows = []
        for agent in list_agents(self.store):
            total, _ = list_objects(self.store, agent.id, "Service", limit=0)
            rows.append(agent_wire(agent.id, agent.identity, agent.created_ns, total))
        search = request.query_params.get("search", "").lower()
        return paginate(request, [row for row in rows if search in row["name"].lower()])

    def agent(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}."""
        agent = agent_in_path(self.store, request)
        total, _ = list_objects(self.store, agent.id, "Service", limit=0)
        return agent_wire(agent.id, agent.identity, agent.created_ns, total) | {
            "correlationID": list_response(request, [])["correlationID"],
            "inventory": newest_inventory(self.store, agent.id),
        }

    def objects(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}/<kind>s."""
        agent = agent_in_path(self.store, request)
        kind = KIND_PATHS[request.url.path.rpartition("/")[2]]
        index, limit, everything = parse_paging(request)
        query = request.query_params
        total, rows = list_objects(
            self.store,
            agent.id,
            kind,
            namespace=query.get("namespace", ""),
            name=query.get("name", ""),
            limit=None if everything else limit,
            offset=0 if everything else index * limit,
        )
        return list_response(request, [object_wire(agent.id, kind, row) for row in rows], total)

    def connections(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}/connections and …/pods/{pod_uid}/connections, of one window."""
        agent = agent_in_path(self.store, request)
        window = self.window(agent, request)
        pod_uid = request.path_params.get("pod_uid")
        rows = []
        for seen in read_observations(self.store, agent.id, window.id) if window else ():
            for place, spec in enumerate(seen.connections):
                ends = spec["kubernetes"]
                pods = {(ends.get(end) or {}).get("uid") for end in ("sourcePod", "destinationPod")}
                if pod_uid is None or pod_uid in pods:
                    row_id = f"{seen.batch_id}.{place}"
                    rows.append(connection_wire(agent.id, row_id, seen.node_name, seen.received_ns, spec))
        return list_response(request, rows)

    def discovered_services(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}/discoveredservices."""
        agent = agent_in_path(self.store, request)
        found = self.map_of(agent, None, "")
        _, rows = list_objects(self.store, agent.id, "Service")
        by_name = {(r["body"]["metadata"].get("namespace", ""), r["body"]["metadata"]["name"]): r for r in rows}
        namespace = request.query_params.get("namespace", "")
        search = request.query_params.get("search", "").lower()
        items = []
        for place in found["services"]:
            inside = place["kind"] in {"Service", "Workload"} and namespace in {"", place["namespace"]}
            if inside and search in place["name"].lower():
                service = by_name.get((place["namespace"], place["name"])) if place["kind"] == "Service" else None
                at_ns = service["updated_ns"] if service else agent.created_ns
                items.append(discovered_service_wire(agent.id, agent.identity, place, service, at_ns))
        return paginate(request, items)

    def discovered_connections(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}/discoveredserviceconnections, of one window."""
        agent = agent_in_path(self.store, request)
        found = self.map_of(agent, self.window(agent, request), "")
        places = {place["id"]: place for place in found["services"]}
        return list_response(request, [edge_wire(edge, places) for edge in found["edges"]])

    def service_map(self, request: Request) -> dict[str, Any]:
        """GET /agents/{agentIdentity}/map: what the page draws."""
        agent = agent_in_path(self.store, request)
        window = self.window(agent, request)
        found = self.map_of(agent, window, request.query_params.get("namespace", ""))
        windows = [one.id for one in list_windows(self.store, agent.id)]
        return {"window": found["window"], "windows": windows, **found}

    def window(self, agent: Agent, request: Request) -> Window | None:
        """The window asked for, the newest without one; 404 if there is no such window."""
        windows = list_windows(self.store, agent.id)
        wanted = request.query_params.get("window", "latest")
        if wanted == "latest":
            return windows[0] if windows else None
        for window in windows:
            if window.id == wanted:
                return window
        raise HTTPException(404, "no such window")

    def map_of(self, agent: Agent, window: Window | None, namespace: str) -> dict[str, Any]:
        """The map of a window; without one, of what is there now and no connections."""
        key = (agent.id, agent.revision, window.id if window else "", namespace)
        with self.lock:
            if key in self.maps:
                self.maps.move_to_end(key)
                return self.maps[key]
        facts = read_summaries(self.store, agent.id, window)
        seen = read_observations(self.store, agent.id, window.id) if window else []
        views = [NodeReport(one.node_name, one.counts, one.connections, one.accepted) for one in seen]
        found = build_map(window or Window(0, 0), facts, views, namespace)
        if window is None:
            found["window"] = None
        with self.lock:
            self.maps[key] = found
            while len(self.maps) > CACHED_MAPS:
                self.maps.popitem(last=False)
        return found
