"""Why an edge is there, or what it means that it is not."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.changes import window_id
from manager.api.history.window_maps import find_window
from manager.api.lists import correlation_of
from manager.history.edges.diff import absence_of, key_of
from manager.history.edges.explain import (
    Owner,
    address_wire,
    cgroups_wire,
    named_vertices,
    record_wire,
    records_between,
)
from manager.history.edges.seen import EdgesSeen
from manager.history.map_json import map_of
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.http.responses import json_response
from manager.schema.pod_cgroups import PodCgroups, merge_pod_cgroups
from manager.schema.records import LISTED, ListedConnection, unpack_block
from manager.service_map.topology import Topology, build_topology
from manager.store.agents import Agent
from manager.store.batches.address_owners import owners_of
from manager.store.batches.queries import read_summaries
from manager.store.batches.window_batches import Observation, iterate_counts, iterate_pod_cgroups, read_batches
from manager.store.batches.window_blocks import iterate_blocks
from manager.store.batches.writes import CONNECTIONS_SIDE
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.timestamp import parse_rfc3339

MAX_RECORDS = 100


class ExplainHandlers:
    """Handlers over one window, its inventory and its batches."""

    def __init__(self, maps: WindowMaps, seen: EdgesSeen) -> None:
        self.maps, self.store, self.seen = maps, maps.store, seen

    def explain(self, request: Request) -> Response:
        """GET …/explain?source=&destination=&window=&port=: edges with their records, or why there is none."""
        agent = agent_in_path(self.store, request)
        query = request.query_params
        window = find_window(self.maps, agent, query.get("window", "latest"))
        if window is None:
            raise HTTPException(404, "no window has been observed")
        found = map_of(self.maps.tables(agent, window))
        topology = build_topology(read_summaries(self.store, agent.id, window))
        ends = {}
        for name in ("source", "destination"):
            ends[name] = named_vertices(query.get(name, ""), found["services"], topology)
            if not ends[name]:
                raise HTTPException(404, f"{name}: nothing in window {window.id} has this name or address")
        sources, destinations = (frozenset(ends[name]) for name in ("source", "destination"))
        edges = [
            edge
            for edge in found["edges"]
            if edge["source"] in sources
            and edge["destination"] in destinations
            and query.get("port", edge["port"]) == edge["port"]
        ]
        absence = absence_of(found)
        verdicts = [absence.verdict(source, destination) for source in sources for destination in destinations]
        unproven = sorted({reason for one in verdicts for reason in one.reasons})
        body = {
            "correlationID": correlation_of(request),
            "window": window.id,
            **ends,
            "edges": [edge | self.times(agent, edge) for edge in edges],
            "verdict": "seen" if edges else "not_observed" if unproven else "not_seen_would_have_been",
            "reasons": [] if edges else unproven,
            **self.evidence(agent, window, topology, sources, destinations),
        }
        return json_response(body)

    def times(self, agent: Agent, edge: dict[str, Any]) -> dict[str, Any]:
        """When an edge was seen first and last."""
        seen = self.seen.find(agent.id, key_of(edge))
        return {
            "firstSeen": window_id(seen.first_ns) if seen else None,
            "lastSeen": window_id(seen.last_ns) if seen else None,
        }

    def evidence(
        self,
        agent: Agent,
        window: Window,
        topology: Topology,
        sources: frozenset[str],
        destinations: frozenset[str],
    ) -> dict[str, Any]:
        """The records between two ends, and who held the addresses that they went to."""
        batches = read_batches(self.store, agent.id, window.id)
        identities = {
            batch.node_name: str(counts.get("identity") or "")
            for batch, counts in iterate_counts(self.store, agent.id, batches)
        }

        def every() -> Iterator[tuple[str, ListedConnection]]:
            for batch, block in iterate_blocks(self.store, agent.id, batches, CONNECTIONS_SIDE):
                for one in LISTED.decode(unpack_block(block.body)):
                    yield batch.node_name, one

        between = records_between(every(), sources, destinations, topology)
        shown = list(islice(between, MAX_RECORDS))
        addresses = self.addresses(agent, window, [one for _, one in shown])
        holders = [one["heldBy"] for one in addresses if one["heldBy"]]
        node_of = {held["uid"]: topology.pods.get(held["uid"], {}).get("node") for held in holders}
        nodes = {node for node, _ in shown} | set(node_of.values())
        cgroups = self.cgroups(agent, [one for one in batches if one.node_name in nodes])
        for held in holders:
            held.update(cgroups_wire(held["uid"], cgroups.get(node_of[held["uid"]])))
        return {
            "batchesKept": bool(batches),
            "records": [record_wire(node, one, identities[node], cgroups.get(node)) for node, one in shown],
            "moreRecords": sum(1 for _ in between),
            "addresses": addresses,
        }

    def cgroups(self, agent: Agent, batches: Iterable[Observation]) -> dict[str | None, dict[str, PodCgroups]]:
        """The cgroups that batches brought, by node and pod UID; without the nodes of which none brought any."""
        brought: dict[str, list[dict[str, PodCgroups]]] = {}
        for batch, own in iterate_pod_cgroups(self.store, agent.id, batches):
            brought.setdefault(batch.node_name, []).append(own)
        return {node: merge_pod_cgroups(every) for node, every in brought.items()}

    def addresses(self, agent: Agent, window: Window, records: list[ListedConnection]) -> list[dict[str, Any]]:
        """Each address that the records went to, with its owners."""
        times: dict[str, list[int]] = {}
        chosen: dict[str, str | None] = {}
        for one in records:
            times.setdefault(one.destination_ip, []).extend(seen_between(one, window))
            named = one.kubernetes.destination_pod or one.kubernetes.destination_service
            chosen[one.destination_ip] = named.uid if named else chosen.get(one.destination_ip)
        owners: dict[str, list[Owner]] = {address: [] for address in times}
        for address, kind, row in owners_of(self.store, agent.id, times) if times else ():
            removed = row["removed_ns"]
            owners[address].append(
                Owner(
                    kind,
                    str(row["uid"]),
                    str(row["namespace"]),
                    str(row["name"]),
                    int(str(row["created_ns"])),
                    None if removed is None else int(str(removed)),
                    bool(row["host_network"]),
                )
            )
        return [
            address_wire(address, chosen[address], owners[address], min(times[address]), max(times[address]))
            for address in sorted(times)
        ]


def seen_between(one: ListedConnection, window: Window) -> list[int]:
    """When a record's connects were first and last seen; the window's bounds where it does not say."""
    found = []
    for text, bound_ns in ((one.first_seen, window.start_ns), (one.last_seen, window.end_ns)):
        try:
            found.append(parse_rfc3339(text or ""))
        except InputError:
            found.append(bound_ns)
    return found
