"""Network maps and application maps: two spellings of one thing, a named set of services with their connections."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api, decode_body, plain
from manager.api.lists import correlation_of, list_response, parse_page
from manager.api.resources.agents import check_identity, check_text
from manager.api.resources.discovered_services import DiscoveredServices
from manager.api.resources.network_map_rules import matches
from manager.api.wire import api_response, person_id, tenant_wire
from manager.http.auth import agent_in_path
from manager.schema.models.api import CreateNetworkMapRequest, Empty, SaveNetworkMapRequest, UpdateNetworkMapRequest
from manager.service_map.discovered import discovered_id
from manager.store.agents import Agent
from manager.store.maps.discovered_services import DiscoveredService
from manager.store.maps.network_maps import (
    Change,
    IdentityTakenError,
    NetworkMap,
    delete_network_map,
    find_network_map,
    list_network_maps,
    store_network_map,
)
from podsonar.timestamp import rfc3339_milliseconds

KIND = "DiscoveredService"
MAX_RESOURCES = 10_000
Json = dict[str, Any]
# The edges of the agent's newest map: source, destination, port and type of each.
Edges = Callable[[Agent], Iterable[Mapping[str, Any]]]


def entity_of(one: DiscoveredService) -> Json:
    """`database.NetworkMapEntity` of a discovered service."""
    workloads = one.body["workloads"]
    kind = "Service" if one.is_service else next((workload["kind"] for workload in workloads), "Pod")
    kubernetes = {"hasWorkload": bool(workloads), "kind": kind, "namespace": one.namespace}
    return {"id": one.id, "kind": KIND, "name": one.name, "kubernetes": kubernetes, "removed": False}


def refreshed(entity: Mapping[str, Any], there: Mapping[str, DiscoveredService]) -> Json:
    """A map's entity with what is known of its service now; `removed` if there is no such service any more."""
    one = there.get(entity["id"])
    if one is None:
        return {**entity, "removed": True}
    return {**entity, "kubernetes": entity_of(one)["kubernetes"], "removed": False}


def map_wire(agent: Agent, found: NetworkMap, there: Mapping[str, DiscoveredService]) -> Json:
    """`database.NetworkMapCollection`."""
    content = found.content
    connections = [
        {**one, **{end: refreshed(one[end], there) for end in ("from", "to") if end in one}}
        for one in content["connections"]
    ]
    wire = {
        "id": found.id,
        "identity": found.identity,
        "name": found.name,
        "description": found.description,
        "tags": content["tags"],
        "agentID": agent.object_id,
        **tenant_wire(agent.tenant),
        "resources": [refreshed(one, there) for one in content["resources"]],
        "connections": connections,
        "createdAt": rfc3339_milliseconds(found.created_ns),
        "createdBy": found.created_by,
        "updatedAt": rfc3339_milliseconds(found.updated_ns),
        "updatedBy": found.updated_by,
        "removed": False,
    }
    return wire | ({"rules": content["rules"]} if content["rules"] else {})


def ids_of(content: Mapping[str, Any]) -> list[str]:
    """The ids of a map's entities, each once."""
    ends = [one[end] for one in content["connections"] for end in ("from", "to") if end in one]
    return sorted({one["id"] for one in (*content["resources"], *ends)})


def touches(connection: Mapping[str, Any], ids: set[str]) -> bool:
    """Whether an end of the connection is one of the ids."""
    return any(end in connection and connection[end]["id"] in ids for end in ("from", "to"))


class NetworkMaps:
    """Handlers of network maps, and of application maps."""

    def __init__(self, api: Api, services: DiscoveredServices, edges: Edges) -> None:
        self.api, self.store, self.services, self.edges = api, api.store, services, edges

    def there(self, agent: Agent, ids: list[str]) -> dict[str, DiscoveredService]:
        """The services of the ids that are there now."""
        return {one.id: one for one in self.services.of_ids(agent, ids)}

    def answer(self, request: Request, agent: Agent, found: NetworkMap) -> Response:
        """`api.GetNetworkMapResponse`."""
        wire = map_wire(agent, found, self.there(agent, ids_of(found.content)))
        return api_response(wire | {"correlationID": correlation_of(request)})

    def in_path(self, request: Request) -> tuple[Agent, NetworkMap]:
        """The agent and the network map named in the path; 404 if there is none."""
        agent = agent_in_path(self.store, request)
        with self.store.reading() as connection:
            found = find_network_map(connection, agent.id, request.path_params["network_map_identity"])
        if found is None:
            raise HTTPException(404, "no such network map")
        return agent, found

    def list_maps(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/networkmaps."""
        agent, page = agent_in_path(self.store, request), parse_page(request)
        search = request.query_params.get("search", "")
        found, total = list_network_maps(self.store, agent.id, search, page.size, page.offset)
        there = self.there(agent, sorted({one for item in found for one in ids_of(item.content)}))
        return list_response(request, (orjson.dumps(map_wire(agent, one, there)) for one in found), total)

    def get_map(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/networkmaps/{networkMapIdentity}."""
        return self.answer(request, *self.in_path(request))

    def create_map(self, request: Request) -> Response:
        """POST /agents/{agentIdentity}/networkmaps; 409 if the agent has a map of that identity."""
        return self.stored(request, decode_body(request, CreateNetworkMapRequest), replaces=False)

    def save_map(self, request: Request) -> Response:
        """POST /agents/{agentIdentity}/savenetworkmaps: in place of one of that identity, if there is one."""
        return self.stored(request, decode_body(request, SaveNetworkMapRequest), replaces=True)

    def group_map(self, request: Request) -> Response:
        """POST /agents/{agentIdentity}/autogroupnetworkmaps: a map of what matches the rules, beside what was sent."""
        return self.stored(request, decode_body(request, CreateNetworkMapRequest), replaces=True, grouped=True)

    def stored(
        self,
        request: Request,
        body: CreateNetworkMapRequest | SaveNetworkMapRequest,
        *,
        replaces: bool,
        grouped: bool = False,
    ) -> Response:
        """The network map of a body, stored."""
        given = plain(body)
        check_identity("identity", given["identity"])
        for name in ("name", "description"):
            check_text(name, given.get(name, ""))
        agent = agent_in_path(self.store, request)
        resources = given["resources"]
        if grouped:
            resources = resources + self.matching(agent, given.get("rules", {}), {one["id"] for one in resources})
        content = {
            "tags": given.get("tags", []),
            "resources": self.known(agent, resources),
            "rules": given.get("rules", {}),
        }
        content["connections"] = self.connections_of(agent, content["resources"], given.get("connections"))
        values = {"name": given["name"], "description": given.get("description", ""), "content": content}
        now_ns, by = self.api.clock(), person_id(request.state.principal.token_id)
        try:
            with self.store.writing(exclusive=True) as connection:
                change = Change(values, by, now_ns, replaces=replaces)
                found = store_network_map(connection, agent.id, given["identity"], change, self.api.random_bytes)
        except IdentityTakenError:
            raise HTTPException(409, "identity: the agent has a network map of that identity") from None
        return self.answer(request, agent, found)

    def known(self, agent: Agent, resources: list[Json]) -> list[Json]:
        """The resources, each once, with what is known of their services; 400 for too many."""
        if len(resources) > MAX_RESOURCES:
            raise HTTPException(400, f"resources: expected at most {MAX_RESOURCES}")
        once = {one["id"]: one for one in resources}
        there = self.there(agent, list(once))
        return [refreshed(one, there) for one in once.values()]

    def matching(self, agent: Agent, rules: Mapping[str, Any], known: set[str]) -> list[Json]:
        """Entities of the services that match the rules and are not known."""
        services, _ = self.services.page(agent, rules.get("namespace", {}).get("name", ""), "", None, 0)
        wires = self.services.wires(agent, services)
        pairs = zip(services, wires, strict=True)
        return [entity_of(one) for one, wire in pairs if one.id not in known and matches(wire, rules)]

    def connections_of(self, agent: Agent, resources: list[Json], given: list[Json] | None) -> list[Json]:
        """The connections that were sent; without any, those between the resources in the newest window."""
        if given is not None:
            return given
        inside = {one["id"]: one for one in resources}
        found: dict[tuple[str, str, str], Json] = {}
        for edge in self.edges(agent) if len(inside) > 1 else ():
            source, destination = (discovered_id(agent, edge[end]) for end in ("source", "destination"))
            if source in inside and destination in inside:
                found[source, destination, edge["port"]] = {
                    "from": inside[source],
                    "to": inside[destination],
                    "port": edge["port"],
                    "type": edge["type"],
                    "manual": False,
                    "params": {},
                }
        return list(found.values())

    def update_map(self, request: Request) -> Response:
        """PUT /agents/{agentIdentity}/networkmaps/{networkMapIdentity}: other resources, and connections if sent."""
        given = plain(decode_body(request, UpdateNetworkMapRequest))
        agent, found = self.in_path(request)
        resources = self.known(agent, given["resources"])
        ids = {one["id"] for one in resources}
        gone = {one["id"] for one in found.content["resources"]} - ids
        before = [one for one in found.content["connections"] if not touches(one, gone)]
        return self.changed(request, agent, found, resources, given.get("connections", before))

    def remove_stale(self, request: Request) -> Response:
        """POST …/removestaleservices: without the services that are not there any more, and their connections."""
        decode_body(request, Empty)
        agent, found = self.in_path(request)
        there = self.there(agent, ids_of(found.content))
        stale = set(ids_of(found.content)) - set(there)
        resources = [one for one in found.content["resources"] if one["id"] not in stale]
        connections = [one for one in found.content["connections"] if not touches(one, stale)]
        return self.changed(request, agent, found, resources, connections)

    def changed(
        self, request: Request, agent: Agent, found: NetworkMap, resources: list[Json], connections: list[Json]
    ) -> Response:
        """The network map with other resources and connections, stored."""
        values: Json = {"name": found.name, "description": found.description}
        values |= {"content": {**found.content, "resources": resources, "connections": connections}}
        now_ns, by = self.api.clock(), person_id(request.state.principal.token_id)
        with self.store.writing(exclusive=True) as connection:
            if find_network_map(connection, agent.id, found.identity) is None:
                raise HTTPException(404, "no such network map")
            change = Change(values, by, now_ns, replaces=True)
            found = store_network_map(connection, agent.id, found.identity, change, self.api.random_bytes)
        return self.answer(request, agent, found)

    def delete_map(self, request: Request) -> Response:
        """DELETE /agents/{agentIdentity}/networkmaps/{networkMapIdentity}."""
        agent = agent_in_path(self.store, request)
        if not delete_network_map(self.store, agent.id, request.path_params["network_map_identity"]):
            raise HTTPException(404, "no such network map")
        return api_response({"correlationID": correlation_of(request)})

    def list_services(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/networkmaps/{networkMapIdentity}/discoveredservices: those that are there."""
        agent, found = self.in_path(request)
        ids = [one["id"] for one in found.content["resources"]]
        services = self.services.of_ids(agent, ids, request.query_params.get("search", ""))
        return list_response(request, map(orjson.dumps, self.services.wires(agent, services)))
