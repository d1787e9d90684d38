"""A window's map as tables, and the tables as Parquet. Pure.

`edges` has one row per edge, sorted by source, destination, port and protocol; `details`, row by row beside it, what
takes as much room again: pods and handshakes. `services` and `nodes` have one row each. Any reader of Parquet takes
them as they are: names are plain text columns, times are UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from manager.schema.records import LARGEST_COUNT

WORD = pa.dictionary(pa.int32(), pa.string())
MICROSECONDS = 1_000_000

EDGES = pa.schema(
    [
        ("window", pa.timestamp("ms", "UTC")),
        ("source", WORD),
        ("destination", WORD),
        ("port", WORD),
        ("protocol", WORD),
        ("attempts", pa.int64()),
        ("established", pa.int64()),
        ("failed", pa.int64()),
        ("last_errno", pa.int32()),
        ("opened_before", pa.bool_()),
        ("accepted", pa.int64()),
        ("in_sums", pa.bool_()),
        ("reasons", pa.list_(pa.string())),
    ]
)
DETAILS = pa.schema(
    [
        ("handshake_sum_us", pa.int64()),
        ("handshake_max_us", pa.int64()),
        ("source_pods", pa.list_(pa.string())),
        ("more_source_pods", pa.int64()),
        ("backend_pods", pa.list_(pa.string())),
        ("backend_accepted", pa.list_(pa.int64())),
        ("others", pa.string()),
    ]
)
SERVICES = pa.schema(
    [
        ("id", pa.string()),
        ("name", pa.string()),
        ("namespace", WORD),
        ("kind", WORD),
        ("pods", pa.int32()),
        ("nodes", pa.list_(pa.string())),
        ("workloads", pa.list_(pa.struct([(name, pa.string()) for name in ("kind", "namespace", "name", "uid")]))),
        ("labels", pa.map_(pa.string(), pa.string())),
        ("others", pa.string()),
    ]
)
# Members of the map's JSON that have a column; the others are kept as JSON, so that nothing is lost of a later version.
EDGE_MEMBERS = frozenset(("source", "destination", "port", "type", "attempts", "established", "failed", "lastErrno"))
EDGE_MEMBERS |= {"openedBefore", "accepted", "bothEnds", "inSums", "reasons"}
EDGE_MEMBERS |= {"handshakeSeconds", "sourcePods", "moreSourcePods", "backends"}
SERVICE_MEMBERS = frozenset(SERVICES.names) - {"others"}
MAP_MEMBERS = frozenset(("window", "windows", "services", "edges", "recall", "observation", "coverage"))
# What a node reported, and how much of its recall, as the JSON of the map.
NODES = pa.schema([("node", pa.string()), *((name, pa.string()) for name in ("coverage", "recall", "observation"))])


class MapTables(NamedTuple):
    """A window's map; `details` is None once it is not kept any more. `document` is the rest of the map's JSON."""

    edges: pa.Table
    details: pa.Table | None
    services: pa.Table
    nodes: pa.Table
    document: dict[str, Any]


def make_tables(found: Mapping[str, Any]) -> MapTables:
    """The tables of a map as `manager.service_map.build` returns it."""
    edges, services = found["edges"], found["services"]
    window = found["window"]["start"] if found["window"] else "1970-01-01T00:00:00.000000Z"
    recall = dict(found["recall"])
    by_node = recall.pop("nodes")
    return MapTables(
        edges_table(window, edges),
        details_table(edges),
        services_table(services),
        nodes_table(found["coverage"], by_node, found["observation"]),
        {
            "window": found["window"],
            "recall": recall,
            "others": {name: member for name, member in found.items() if name not in MAP_MEMBERS},
            "totals": totals_of(edges, services, found),
        },
    )


def totals_of(
    edges: Sequence[Mapping[str, Any]], services: Sequence[Mapping[str, Any]], found: Mapping[str, Any]
) -> dict[str, Any]:
    """The sums of a window, as the list of windows shows them."""
    states = [one["observed"] for one in found["coverage"].values()]
    counts = found["observation"].values()
    return {
        "services": len(services),
        "edges": len(edges),
        "failedEdges": sum(edge["failed"] > 0 for edge in edges),
        **{
            name: min(LARGEST_COUNT, sum(edge[name] for edge in edges))
            for name in ("attempts", "established", "failed")
        },
        "lost": min(
            LARGEST_COUNT, sum(n for one in counts for n in (one.get("lost") or {}).values() if isinstance(n, int))
        ),
        "nodes": {state: states.count(state) for state in ("whole", "part", "none")},
    }


def edges_table(window: str, edges: Sequence[Mapping[str, Any]]) -> pa.Table:
    """`edges` of the map's edges."""
    start = pa.scalar(window[:19]).cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))
    columns = {
        "window": pa.repeat(start, len(edges)),
        "source": words(edge["source"] for edge in edges),
        "destination": words(edge["destination"] for edge in edges),
        "port": words(edge["port"] for edge in edges),
        "protocol": words(edge["type"] for edge in edges),
        "last_errno": pa.array([edge["lastErrno"] for edge in edges], pa.int32()),
        "opened_before": pa.array([edge["openedBefore"] for edge in edges], pa.bool_()),
        "in_sums": pa.array([edge["inSums"] for edge in edges], pa.bool_()),
        "reasons": pa.array([edge["reasons"] for edge in edges], pa.list_(pa.string())),
    }
    columns |= {
        name: pa.array([edge[name] for edge in edges], pa.int64())
        for name in ("attempts", "established", "failed", "accepted")
    }
    return pa.table([columns[name] for name in EDGES.names], schema=EDGES)


def words(texts: Iterable[str]) -> pa.DictionaryArray:
    """Texts of which many are equal."""
    return pa.array(list(texts), pa.string()).dictionary_encode()


def details_table(edges: Sequence[Mapping[str, Any]]) -> pa.Table:
    """`details` of the map's edges."""
    handshakes = [edge.get("handshakeSeconds") or {"sum": 0, "max": 0} for edge in edges]
    columns = [
        [round(one["sum"] * MICROSECONDS) for one in handshakes],
        [round(one["max"] * MICROSECONDS) for one in handshakes],
        [edge["sourcePods"] for edge in edges],
        [edge.get("moreSourcePods", 0) for edge in edges],
        [[one["pod"] for one in edge["backends"]] for edge in edges],
        [[one["accepted"] for one in edge["backends"]] for edge in edges],
        [other_members(edge, EDGE_MEMBERS) for edge in edges],
    ]
    return pa.table(columns, schema=DETAILS)


def other_members(of: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """The members that have no column as JSON without its braces; None if there is none."""
    others = {name: member for name, member in of.items() if name not in known}
    return orjson.dumps(others)[1:-1].decode() if others else None


def services_table(services: Sequence[Mapping[str, Any]]) -> pa.Table:
    """`services` of the map's vertices."""
    rows = [
        {
            **one,
            "nodes": one.get("nodes", []),
            "labels": sorted(one.get("labels", {}).items()),
            "others": other_members(one, SERVICE_MEMBERS),
        }
        for one in services
    ]
    plain = pa.schema([(one.name, pa.string() if one.type == WORD else one.type) for one in SERVICES])
    return pa.Table.from_pylist(rows, schema=plain).cast(SERVICES)


def nodes_table(coverage: Mapping[str, Any], recall: Mapping[str, Any], observation: Mapping[str, Any]) -> pa.Table:
    """`nodes`: every node that the cluster has or that reported."""
    names = sorted({*coverage, *recall, *observation})
    parts = [
        [orjson.dumps(part[name]).decode() if name in part else None for name in names]
        for part in (coverage, recall, observation)
    ]
    return pa.table([names, *parts], schema=NODES)


def to_parquet(table: pa.Table) -> bytes:
    """The table as a Parquet file. Statistics help only to skip parts, and these files have one."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=9, write_statistics=False)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def from_parquet(body: bytes) -> pa.Table:
    """The table of a Parquet file. On one thread: the pool's threads would each keep memory."""
    return pq.read_table(pa.BufferReader(body), use_threads=False)


def of_namespace(tables: MapTables, namespace: str) -> MapTables:
    """The map's edges that touch a namespace, and the vertices of it and of their far ends."""
    services = tables.services
    inside = services.filter(pc.equal(services["namespace"], namespace))["id"]
    edges = tables.edges
    touching = pc.or_(*(pc.is_in(edges[end].cast(pa.string()), inside) for end in ("source", "destination")))
    kept = edges.filter(touching)
    ends = [kept[end].cast(pa.string()).combine_chunks() for end in ("source", "destination")]
    wanted = pa.concat_arrays([inside.combine_chunks(), *ends])
    return tables._replace(
        edges=kept,
        details=tables.details and tables.details.filter(touching),
        services=services.filter(pc.is_in(services["id"], wanted)),
    )
