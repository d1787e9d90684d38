"""The read side of the API: one handler per list, Kubernetes kinds by a table; all of it behind a key of scope read."""

from collections.abc import Iterator, Sequence

import msgspec
import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.lists import correlation_of, is_paged, list_response, parse_page
from manager.api.maps import MapCache
from manager.api.serializers import agent_wire, connection_wire, discovered_service_wire, edge_wire, object_wire
from manager.http.auth import agent_in_path, may_read
from manager.http.responses import json_response
from manager.schema.records import LISTED, ListedConnection, unpack_block
from manager.store.batches import CONNECTIONS_SIDE
from manager.store.database import Store
from manager.store.objects import ObjectFilter, count_objects, iterate_objects
from manager.store.queries import (
    BlockPlace,
    Observation,
    list_windows,
    locate,
    newest_inventory,
    places_of_pod,
    read_block,
    read_observations,
)
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


class ReadHandlers:
    """Handlers over the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.maps = MapCache(store)

    def agents(self, request: Request) -> Response:
        """GET /agents."""
        search = request.query_params.get("search", "").lower()
        found = [
            agent for agent in list_agents(self.store) if may_read(request, agent) and search in agent.identity.lower()
        ]
        rows = (
            orjson.dumps(agent_wire(agent.id, agent.identity, agent.created_ns, self.services_of(agent)))
            for agent in parse_page(request).of(found)
        )
        return list_response(request, rows, len(found))

    def services_of(self, agent: Agent) -> int:
        """How many Services an agent's cluster has."""
        return count_objects(self.store, ObjectFilter(agent.id, "Service"))

    def agent(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}."""
        agent = agent_in_path(self.store, request)
        return json_response(
            agent_wire(agent.id, agent.identity, agent.created_ns, self.services_of(agent))
            | {"correlationID": correlation_of(request), "inventory": newest_inventory(self.store, agent.id)}
        )

    def objects(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/<kind>s."""
        agent = agent_in_path(self.store, request)
        kind = KIND_PATHS[request.url.path.rpartition("/")[2]]
        page = parse_page(request)
        query = request.query_params
        wanted = ObjectFilter(agent.id, kind, query.get("namespace", ""), query.get("name", ""))
        rows = iterate_objects(self.store, wanted, limit=page.size, offset=page.offset)
        items = (orjson.dumps(object_wire(agent.id, kind, row)) for row in rows)
        return list_response(request, items, count_objects(self.store, wanted))

    def connections(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/connections and …/pods/{pod_uid}/connections, of one window.

        The API document has no pages here: the whole list comes, unless `page` or `limit` asks for one.
        """
        agent = agent_in_path(self.store, request)
        window = self.window(agent, request)
        pod_uid = request.path_params.get("pod_uid")
        batches = read_observations(self.store, agent.id, window.id) if window else []
        if pod_uid is not None:
            items = self.pod_connections(agent, batches, pod_uid)
            if not is_paged(request):
                return list_response(request, items)
            found, page = list(items), parse_page(request)
            return list_response(request, page.of(found), len(found))
        page = parse_page(request)._replace(everything=not is_paged(request))
        total = sum(batch.connection_count for batch in batches)
        items = self.connection_rows(agent, self.blocks_of_page(agent, batches, page.offset, page.size), None)
        return list_response(request, items, total if is_paged(request) else None)

    def blocks_of_page(
        self, agent: Agent, batches: list[Observation], offset: int, size: int | None
    ) -> Iterator[BlockPlace]:
        """The blocks that hold a page of a window's connections; batches before it are passed over unread."""
        left = size
        for batch in batches:
            count = batch.connection_count
            if offset >= count:
                offset -= count
                continue
            wanted = range(offset, count if left is None else min(count, offset + left))
            offset = 0
            left = None if left is None else left - len(wanted)
            if wanted:
                yield from locate(self.store, agent.id, batch, wanted)

    def pod_connections(self, agent: Agent, batches: list[Observation], pod_uid: str) -> Iterator[bytes]:
        """The connections from or to a pod, found by the batches' indexes."""
        for batch in batches:
            places = places_of_pod(self.store, agent.id, batch, pod_uid)
            if places:
                yield from self.connection_rows(agent, locate(self.store, agent.id, batch, places), pod_uid)

    def connection_rows(self, agent: Agent, blocks: Iterator[BlockPlace], pod_uid: str | None) -> Iterator[bytes]:
        """The wanted records of some blocks, as the API shows them; with `pod_uid`, those of that pod."""
        for place in blocks:
            batch = place.batch
            block = read_block(self.store, agent.id, batch.batch_id, CONNECTIONS_SIDE, place.block)
            if block is None:
                continue
            records = LISTED.decode(unpack_block(block.body))
            for number in place.wanted:
                record: ListedConnection = records[number - place.first]
                if pod_uid is not None and not is_of_pod(record, pod_uid):
                    continue
                spec = msgspec.to_builtins(record)
                row_id = f"{batch.batch_id}.{number}"
                yield orjson.dumps(connection_wire(agent.id, row_id, batch.node_name, batch.received_ns, spec))

    def discovered_services(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/discoveredservices."""
        agent = agent_in_path(self.store, request)
        namespace = request.query_params.get("namespace", "")
        search = request.query_params.get("search", "").lower()
        inside = [
            place
            for place in orjson.loads(self.maps.get(agent, None, "").services)
            if place["kind"] in {"Service", "Workload"}
            and namespace in {"", place["namespace"]}
            and search in place["name"].lower()
        ]
        shown = parse_page(request).of(inside)
        return list_response(request, self.discovered_rows(agent, shown), len(inside))

    def discovered_rows(self, agent: Agent, places: Sequence[dict[str, str]]) -> Iterator[bytes]:
        """Map vertices as discovered services, with the Kubernetes Service of each that is one."""
        pending = {(place["namespace"], place["name"]): place for place in places if place["kind"] == "Service"}
        for row in iterate_objects(self.store, ObjectFilter(agent.id, "Service")) if pending else ():
            metadata = row.body["metadata"]
            place = pending.pop((metadata.get("namespace", ""), metadata["name"]), None)
            if place is not None:
                yield orjson.dumps(discovered_service_wire(agent.id, agent.identity, place, row.body, row.updated_ns))
        for place in (*pending.values(), *(place for place in places if place["kind"] != "Service")):
            yield orjson.dumps(discovered_service_wire(agent.id, agent.identity, place, None, agent.created_ns))

    def discovered_connections(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/discoveredserviceconnections, of one window."""
        agent = agent_in_path(self.store, request)
        found = self.maps.get(agent, self.window(agent, request), "")
        places = {place["id"]: place for place in orjson.loads(found.services)}
        return list_response(request, (orjson.dumps(edge_wire(edge, places)) for edge in orjson.loads(found.edges)))

    def service_map(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/map: what the page draws."""
        agent = agent_in_path(self.store, request)
        windows = list_windows(self.store, agent.id)
        window = self.window(agent, request)
        found = self.maps.get(agent, window, request.query_params.get("namespace", ""))
        names = orjson.dumps([one.id for one in windows])
        head = (b'{"window":', found.window, b',"windows":', names)
        parts = (*head, b',"services":', found.services, b',"edges":', found.edges, b",", found.others)
        return Response(b"".join(parts), media_type="application/json")

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


def is_of_pod(record: ListedConnection, pod_uid: str) -> bool:
    """Whether an end of the connection is the pod."""
    ends = record.kubernetes
    return pod_uid in {ends.source_pod.uid, ends.destination_pod.uid if ends.destination_pod else None}
