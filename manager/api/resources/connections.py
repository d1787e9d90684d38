"""Connections: of a window, of a pod in it, between discovered services; and the map of a window."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from manager.api.history.window_maps import find_window
from manager.api.lists import Page, is_paged, list_response, parse_page
from manager.api.resources.connection_wire import connection_wire, edge_wire
from manager.history.window_maps import WindowMaps
from manager.http.auth import agent_in_path
from manager.schema.records import LISTED_ONE, UNREAD, ListedConnection, unpack_block
from manager.store.agents import Agent
from manager.store.batches.queries import (
    BlockPlace,
    Observation,
    locate,
    places_of_pod,
    read_block,
    read_observations,
)
from manager.store.batches.writes import CONNECTIONS_SIDE
from manager.store.database import Store
from podsonar.model import Window


class ReadHandlers:
    """Handlers over the store."""

    def __init__(self, store: Store, maps: WindowMaps) -> None:
        self.store, self.maps = store, maps

    def connections(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/connections and …/pods/{pod_uid}/connections, of one window.

        The API document has no pages here: the whole list comes, unless `page` or `limit` asks for one.
        """
        agent = agent_in_path(self.store, request)
        window = self.window(agent, request)
        pod_uid = request.path_params.get("pod_uid")
        batches = read_observations(self.store, agent.id, window.id) if window else []
        page = parse_page(request)._replace(everything=not is_paged(request))
        if pod_uid is not None:
            places = {batch: places_of_pod(self.store, agent.id, batch, pod_uid) for batch in batches}
            items = self.pod_connections(agent, pod_uid, places_of_page(places, page))
            total = sum(len(numbers) for numbers in places.values())
            return list_response(request, items, total if is_paged(request) else None)
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

    def pod_connections(
        self, agent: Agent, pod_uid: str, places: Iterable[tuple[Observation, list[int]]]
    ) -> Iterator[bytes]:
        """The connections from or to a pod at the places that the batches' indexes name."""
        for batch, numbers in places:
            yield from self.connection_rows(agent, locate(self.store, agent.id, batch, numbers), pod_uid)

    def connection_rows(self, agent: Agent, blocks: Iterator[BlockPlace], pod_uid: str | None) -> Iterator[bytes]:
        """The wanted records of some blocks, as the API shows them; with `pod_uid`, those of that pod."""
        for place in blocks:
            batch = place.batch
            block = read_block(self.store, agent.id, batch.batch_id, CONNECTIONS_SIDE, place.block)
            if block is None:
                continue
            records = UNREAD.decode(unpack_block(block.body))
            for number in place.wanted:
                record = LISTED_ONE.decode(records[number - place.first])
                if pod_uid is not None and not is_of_pod(record, pod_uid):
                    continue
                spec = msgspec.to_builtins(record)
                row_id = f"{batch.batch_id}.{number}"
                yield orjson.dumps(connection_wire(agent, row_id, batch.node_name, batch.received_ns, spec))

    def discovered_connections(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/discoveredserviceconnections, of one window."""
        agent = agent_in_path(self.store, request)
        found = self.maps.text(agent, self.window(agent, request))
        places = {place["id"]: place for place in orjson.loads(found.services)}
        edges = (edge_wire(agent, edge, places) for edge in orjson.loads(found.edges))
        return list_response(request, map(orjson.dumps, edges))

    def edges_of(self, agent: Agent) -> list[dict[str, Any]]:
        """The edges of the agent's newest map."""
        newest = find_window(self.maps, agent, "latest")
        found: list[dict[str, Any]] = orjson.loads(self.maps.text(agent, newest).edges)
        return found

    def window(self, agent: Agent, request: Request) -> Window | None:
        """The window asked for, the newest without one; 404 if there is no such window."""
        return find_window(self.maps, agent, request.query_params.get("window", "latest"))


def places_of_page(places: Mapping[Observation, list[int]], page: Page) -> Iterator[tuple[Observation, list[int]]]:
    """The places of a page, batch by batch.

    An index may name a place of another pod, whose UID has the same CRC-32: it has room in a page, and is left out.
    """
    first = 0
    for batch, numbers in places.items():
        end = len(numbers) if page.size is None else page.offset + page.size - first
        wanted = numbers[max(0, page.offset - first) : max(0, end)]
        first += len(numbers)
        if wanted:
            yield batch, wanted


def is_of_pod(record: ListedConnection, pod_uid: str) -> bool:
    """Whether an end of the connection is the pod."""
    ends = record.kubernetes
    return pod_uid in {ends.source_pod.uid, ends.destination_pod.uid if ends.destination_pod else None}
