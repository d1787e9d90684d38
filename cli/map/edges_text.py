"""What every format shows of a map: names of ends, and text that is only text. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape

NAMED = ("Service", "Workload")


class EdgeName(NamedTuple):
    """An edge as people write it: `SOURCE>DESTINATION:PORT`."""

    source: str
    destination: str
    port: str


def parse_edge(text: str) -> EdgeName:
    """The parts of an edge's name; UsageError for another text."""
    source, arrow, rest = text.partition(">")
    destination, colon, port = rest.rpartition(":")
    if not (arrow and colon and source.strip() and destination.strip() and port.strip()):
        raise UsageError(f"edge {escape(text[:200])!r}: expected SOURCE>DESTINATION:PORT, such as a/web>a/cart:80")
    return EdgeName(source.strip(" -"), destination.strip(), port.strip())


def title(vertex: Mapping[str, Any]) -> str:
    """A vertex as it is shown: `namespace/name`, or what stands for it."""
    name = f"{vertex['namespace']}/{vertex['name']}" if vertex["namespace"] else str(vertex["name"])
    return name if vertex["kind"] in NAMED else f"{name} ({vertex['kind'].lower()})"


def titles(services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The shown name of each vertex by its id."""
    return {one["id"]: title(one) for one in services}


def find_vertex(text: str, services: Sequence[Mapping[str, Any]], end: str) -> str:
    """The id of the vertex that a text names; UsageError if it is none or several."""
    full = [one["id"] for one in services if text in {one["id"], f"{one['namespace']}/{one['name']}"}]
    found = full or [one["id"] for one in services if text == one["name"]]
    if len(found) != 1:
        several = f"one of {', '.join(map(escape, found[:9]))}" if found else "nothing in the window has this name"
        raise UsageError(f"{end} {escape(text[:200])!r}: {several}; expected namespace/name, an id or an address")
    return str(found[0])


def matching(
    found: Mapping[str, Any], namespace: str = "", *, failed: bool = False, external: bool = False
) -> Iterable[Mapping[str, Any]]:
    """The edges that pass the filters."""
    places = {one["id"]: one for one in found["services"]}
    for edge in found["edges"]:
        ends = [places.get(edge[end], {"namespace": "", "kind": ""}) for end in ("source", "destination")]
        if namespace and all(end["namespace"] != namespace for end in ends):
            continue
        if (failed and not edge["failed"]) or (external and all(end["kind"] in NAMED for end in ends)):
            continue
        yield edge
