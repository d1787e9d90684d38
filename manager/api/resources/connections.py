"""Connections: of a window, of a pod in it, between discovered services; and the map of a window."""

from collections.abc import Iterable, Iterator
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
from manager.store.batches.window_batches import (
    WantedRecords,
    iterate_batches,
    iterate_pod_places,
    page_of_window,
)
from manager.store.batches.window_blocks import iterate_wanted_blocks
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
        page = parse_page(request)._replace(everything=False) if is_paged(request) else None
        wanted, total = self.wanted(agent, window, pod_uid, page)
        return list_response(request, self.connection_rows(agent, wanted, pod_uid), total)

    def wanted(
        self, agent: Agent, window: Window | None, pod_uid: str | None, page: Page | None
    ) -> tuple[Iterable[WantedRecords], int | None]:
        """The connections of a page, and of how many it is one; without a page, all."""
        if window is None:
            return (), 0 if page else None
        if pod_uid is None and page:
            return page_of_window(self.store, agent.id, window.id, page.offset, page.limit)
        batches = iterate_batches(self.store, agent.id, window.id)
        if pod_uid is None:
            return (WantedRecords(batch, range(batch.connection_count)) for batch in batches), None
        places = iterate_pod_places(self.store, agent.id, batches, pod_uid)
        return page_of_places(places, page) if page else (places, None)

    def connection_rows(self, agent: Agent, wanted: Iterable[WantedRecords], pod_uid: str | None) -> Iterator[bytes]:
        """The wanted records, as the API shows them; with `pod_uid`, those of that pod."""
        for block, numbers, body in iterate_wanted_blocks(self.store, agent.id, wanted):
            batch = block.batch
            records = UNREAD.decode(unpack_block(body))
            for number in numbers:
                record = LISTED_ONE.decode(records[number - block.first])
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


def page_of_places(places: Iterable[WantedRecords], page: Page) -> tuple[list[WantedRecords], int]:
    """Those of a page, and how many there are; only those of the page are held.

    An index may name a place of another pod, whose UID has the same CRC-32: it has room in a page, and is left out.
    """
    first, wanted = 0, []
    for batch, numbers in places:
        own = numbers[max(0, page.offset - first) : max(0, page.offset + page.limit - first)]
        if own:
            wanted.append(WantedRecords(batch, own))
        first += len(numbers)
    return wanted, first


def is_of_pod(record: ListedConnection, pod_uid: str) -> bool:
    """Whether an end of the connection is the pod."""
    ends = record.kubernetes
    return pod_uid in {ends.source_pod.uid, ends.destination_pod.uid if ends.destination_pod else None}
