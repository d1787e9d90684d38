"""A map as a graph for other tools: Graphviz, Mermaid, GraphML. Names are text there, whatever they contain. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from cli.map.edges_text import titles
from podsonar.logs_and_probes import escape

GRAPHML = "http://graphml.graphdrawing.org/xmlns"
NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Characters with a meaning in a quoted label of Mermaid; it has its own numbered entities.
IN_MERMAID = re.compile(r"[^\w ./:()\[\],+@=-]|[()\[\]]", re.ASCII)

Edges = Sequence[Mapping[str, Any]]


def numbered(edges: Edges) -> dict[str, str]:
    """A safe identifier for each vertex that an edge touches."""
    ids = sorted({edge[end] for edge in edges for end in ("source", "destination")})
    return {vertex: f"n{number}" for number, vertex in enumerate(ids)}


def edge_label(edge: Mapping[str, Any]) -> str:
    """Port and counts of an edge."""
    return f":{edge['port']} {edge['attempts']}" + (f", {edge['failed']} failed" if edge["failed"] else "")


def dot_text(text: str) -> str:
    """A quoted string of Graphviz (its grammar knows the quote alone; a label reads backslashes as escapes)."""
    return '"' + escape(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def to_dot(found: Mapping[str, Any], edges: Edges) -> str:
    """The graph for Graphviz, namespaces as clusters."""
    names, ids = titles(found["services"]), numbered(edges)
    spaces = {one["id"]: one["namespace"] for one in found["services"]}
    lines = ["digraph podsonar {", "  rankdir=LR;", "  node [shape=box];"]
    for number, space in enumerate(sorted({spaces.get(vertex, "") for vertex in ids})):
        inside = [vertex for vertex in ids if spaces.get(vertex, "") == space]
        own = [f"  {ids[vertex]} [label={dot_text(names.get(vertex, vertex))}];" for vertex in inside]
        if space:
            head = [f"  subgraph cluster_{number} {{", f"    label={dot_text(space)};"]
            own = [*head, *(f"  {line}" for line in own), "  }"]
        lines += own
    for edge in edges:
        label = dot_text(edge_label(edge))
        colour = ' color="red"' if edge["failed"] else ""
        lines.append(f"  {ids[edge['source']]} -> {ids[edge['destination']]} [label={label}{colour}];")
    return "\n".join([*lines, "}", ""])


def mermaid_text(text: str) -> str:
    """A quoted label of Mermaid: everything that could mean something there is a numbered entity."""
    return '"' + IN_MERMAID.sub(lambda found: f"#{ord(found[0])};", escape(text)) + '"'


def to_mermaid(found: Mapping[str, Any], edges: Edges) -> str:
    """The graph for Mermaid."""
    names, ids = titles(found["services"]), numbered(edges)
    lines = ["flowchart LR", *(f"  {ids[vertex]}[{mermaid_text(names.get(vertex, vertex))}]" for vertex in ids)]
    lines += [
        f"  {ids[edge['source']]} -->|{mermaid_text(edge_label(edge))}| {ids[edge['destination']]}" for edge in edges
    ]
    return "\n".join([*lines, ""])


def xml_text(text: object) -> str:
    """Text that XML 1.0 can hold."""
    return NOT_IN_XML.sub("\ufffd", str(text))


def to_graphml(found: Mapping[str, Any], edges: Edges) -> str:
    """The graph as GraphML."""
    ET.register_namespace("", GRAPHML)
    root = ET.Element(f"{{{GRAPHML}}}graphml")
    fields = {"node": ("name", "namespace", "kind"), "edge": ("port", "type", "attempts", "established", "failed")}
    for target, names in fields.items():
        for name in names:
            kind = "long" if name in {"attempts", "established", "failed"} else "string"
            attributes = {"id": f"{target}-{name}", "for": target, "attr.name": name, "attr.type": kind}
            ET.SubElement(root, f"{{{GRAPHML}}}key", attributes)
    graph = ET.SubElement(root, f"{{{GRAPHML}}}graph", {"id": "podsonar", "edgedefault": "directed"})
    ids, places = numbered(edges), {one["id"]: one for one in found["services"]}
    for vertex, identifier in ids.items():
        node = ET.SubElement(graph, f"{{{GRAPHML}}}node", {"id": identifier})
        place = places.get(vertex, {"name": vertex, "namespace": "", "kind": ""})
        for name in fields["node"]:
            ET.SubElement(node, f"{{{GRAPHML}}}data", {"key": f"node-{name}"}).text = xml_text(place[name])
    for edge in edges:
        ends = {"source": ids[edge["source"]], "target": ids[edge["destination"]]}
        line = ET.SubElement(graph, f"{{{GRAPHML}}}edge", ends)
        for name in fields["edge"]:
            ET.SubElement(line, f"{{{GRAPHML}}}data", {"key": f"edge-{name}"}).text = xml_text(edge[name])
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
