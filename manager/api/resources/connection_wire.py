"""Connections in the shapes of the service discovery API's document. Pure."""

from collections.abc import Mapping
from typing import Any

from manager.api.wire import record_fields
from manager.service_map.discovered import discovered_id
from manager.store.agents import Agent


def connection_wire(agent: Agent, row_id: str, node: str, at_ns: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    """`database.ConnectionCollection`; `spec` keeps the counts beside the document's fields."""
    ends = {name: end for name, end in spec["kubernetes"].items() if end is not None}
    ends = {name: {part: text for part, text in end.items() if text is not None} for name, end in ends.items()}
    return record_fields(agent, row_id, at_ns, at_ns) | {"spec": {**spec, "kubernetes": ends, "nodeName": node}}


def edge_wire(agent: Agent, edge: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`api.DiscoveredServiceConnection`."""
    source, destination = places[edge["source"]], places[edge["destination"]]
    return {
        "id": discovered_id(agent, f"{edge['source']}|{edge['destination']}|{edge['port']}"),
        "type": edge["type"],
        "sourceID": discovered_id(agent, edge["source"]),
        "sourceName": source["name"],
        "sourceNamespace": source["namespace"],
        "sourceIP": "",
        "destinationID": discovered_id(agent, edge["destination"]),
        "destinationName": destination["name"],
        "destinationNamespace": destination["namespace"],
        "destinationIP": destination["name"] if destination["kind"] in {"External", "Unresolved"} else "",
        "destinationPort": edge["port"],
    }
