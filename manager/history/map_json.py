"""The JSON of a map, from its tables. Pure.

The text is put together column by column in Arrow's own code: 20,000 edges as Python objects would take longer than the
whole answer may.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from manager.history.map_tables import MICROSECONDS, MapTables


def quoted(column: Any) -> pa.Array:  # noqa: ANN401 - a column of texts, plain or of a dictionary
    """Each text as JSON; every different one is escaped once."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not isinstance(column, pa.DictionaryArray):
        column = column.dictionary_encode()
    fragments = pa.array([orjson.dumps(text).decode() for text in column.dictionary.to_pylist()], pa.string())
    return fragments.take(column.indices)


def plain(column: Any) -> Any:  # noqa: ANN401 - a column of numbers or truth values
    """Each value as JSON; null where there is none."""
    return pc.fill_null(pc.cast(column, pa.string()), "null")


def joined(*parts: Any) -> Any:  # noqa: ANN401 - columns of texts, and texts
    """Columns and texts put together row by row."""
    return pc.binary_join_element_wise(*parts, "")


def listed(column: Any, fragments: Any) -> Any:  # noqa: ANN401 - a list column and the fragments of its values
    """Each list as JSON, given a fragment per value."""
    offsets = combined(column).offsets
    return joined("[", pc.binary_join(pa.ListArray.from_arrays(offsets, fragments), ","), "]")


def combined(column: Any) -> Any:  # noqa: ANN401
    """A column in one piece, which begins at the beginning of its values."""
    whole = column.combine_chunks()
    return pa.concat_arrays([whole]) if whole.offset else whole


def array_text(rows: Any) -> bytes:  # noqa: ANN401 - a column of texts
    """Rows of JSON as one JSON list."""
    if not len(rows):
        return b"[]"
    whole = pa.ListArray.from_arrays([0, len(rows)], combined(rows) if isinstance(rows, pa.ChunkedArray) else rows)
    text: bytes = pc.binary_join(whole, ",")[0].as_buffer().to_pybytes()
    return b"[" + text + b"]"


def seconds(column: Any) -> Any:  # noqa: ANN401 - a column of microseconds
    """Microseconds as the JSON of seconds."""
    return pc.cast(pc.divide(pc.cast(column, pa.float64()), float(MICROSECONDS)), pa.string())


def edges_json(tables: MapTables) -> bytes:
    """The list of edges."""
    edges, details = tables.edges, tables.details
    parts: list[Any] = ['{"source":', quoted(edges["source"]), ',"destination":', quoted(edges["destination"])]
    parts += [',"port":', quoted(edges["port"]), ',"type":', quoted(edges["protocol"])]
    for name, member in (
        ("attempts", "attempts"),
        ("established", "established"),
        ("failed", "failed"),
        ("last_errno", "lastErrno"),
        ("opened_before", "openedBefore"),
        ("accepted", "accepted"),
        ("in_sums", "inSums"),
    ):
        parts += [f',"{member}":', plain(edges[name])]
    parts += [',"bothEnds":', plain(pc.greater(edges["accepted"], 0))]
    parts += [',"reasons":', listed(edges["reasons"], quoted(combined(edges["reasons"]).values))]
    parts += details_parts(details) if details is not None else [',"sourcePods":[],"backends":[]']
    # A scalar has no length of its own: the columns decide.
    return array_text(joined(*parts, "}")) if edges.num_rows else b"[]"


def details_parts(details: pa.Table) -> list[Any]:
    """The members of edges that `details` has."""
    pods, more = details["source_pods"], details["more_source_pods"]
    backends = joined(
        '{"pod":',
        quoted(combined(details["backend_pods"]).values),
        ',"accepted":',
        plain(combined(details["backend_accepted"]).values),
        "}",
    )
    return [
        ',"handshakeSeconds":{"sum":',
        seconds(details["handshake_sum_us"]),
        ',"max":',
        seconds(details["handshake_max_us"]),
        '},"sourcePods":',
        listed(pods, quoted(combined(pods).values)),
        ',"backends":',
        listed(details["backend_pods"], backends),
        pc.if_else(pc.greater(more, 0), joined(',"moreSourcePods":', plain(more)), ""),
        other_members(details["others"]),
    ]


def other_members(column: Any) -> Any:  # noqa: ANN401 - a column of JSON without braces
    """Members that have no column."""
    return pc.fill_null(pc.binary_join_element_wise(",", column, ""), "")


def services_json(services: pa.Table) -> bytes:
    """The list of vertices."""
    if not services.num_rows:
        return b"[]"
    parts: list[Any] = ['{"id":', quoted(services["id"]), ',"name":', quoted(services["name"])]
    parts += [',"namespace":', quoted(services["namespace"]), ',"kind":', quoted(services["kind"])]
    parts += [',"pods":', plain(services["pods"])]
    parts += [',"nodes":', listed(services["nodes"], quoted(combined(services["nodes"]).values))]
    workloads = combined(services["workloads"])
    members: list[Any] = ["{"]
    for place, name in enumerate(("kind", "namespace", "name", "uid")):
        members += [f'{"," if place else ""}"{name}":', quoted(workloads.values.field(name))]
    parts += [',"workloads":', listed(services["workloads"], joined(*members, "}"))]
    labels = combined(services["labels"])
    pairs = joined(quoted(labels.keys), ":", quoted(labels.items))
    text = pc.binary_join(pa.ListArray.from_arrays(labels.offsets, pairs), ",")
    return array_text(joined(*parts, ',"labels":{', text, "}", other_members(services["others"]), "}"))


def map_of(tables: MapTables) -> dict[str, Any]:
    """The map as a value, without pods and handshakes of its edges."""
    members = b'{"services":' + services_json(tables.services) + b',"edges":'
    text = members + edges_json(tables._replace(details=None)) + b"," + others_json(tables)
    return {"window": tables.document["window"], **orjson.loads(text)}


def others_json(tables: MapTables) -> bytes:
    """The other members of the map but `window`, without the opening brace."""
    rows: Sequence[dict[str, str]] = tables.nodes.to_pylist()
    by_part = {
        part: b"{"
        + b",".join(orjson.dumps(row["node"]) + b":" + row[part].encode() for row in rows if row[part] is not None)
        + b"}"
        for part in ("coverage", "recall", "observation")
    }
    recall = orjson.dumps(tables.document["recall"])[:-1] + b',"nodes":' + by_part["recall"] + b"}"
    members = {"recall": recall, "observation": by_part["observation"], "coverage": by_part["coverage"]}
    members |= {name: orjson.dumps(member) for name, member in tables.document["others"].items()}
    return b",".join(b'"' + name.encode() + b'":' + text for name, text in members.items()) + b"}"
