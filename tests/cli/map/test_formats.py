"""cli/map: names that mean something elsewhere are text in every format."""

import csv
import io
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cli.map.csv_rows import cell, to_csv
from cli.map.edges_text import EdgeName, find_vertex, parse_edge
from cli.map.graph_formats import GRAPHML, to_dot, to_graphml, to_mermaid
from podsonar.errors import UsageError

HOSTILE = [
    'a"]; evil -> x [label="',
    "back\\slash\\",
    "line\nfeed",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "\t=1",
    " =1",
    'x"] --> y["z',
    "#quot;",
    "`code`",
    "%%{init: {}}%%",
    "click n0 call x",
    "]]>&lt;",
    "\x1b[31mred",
    "\x00",
    "\ufffe",
    "名前",
    "a|b",
    "end",
]


def hostile_map() -> dict[str, Any]:
    """A vertex per hostile name, in a ring."""
    services = [
        {"id": f"service/{name}", "name": name, "namespace": HOSTILE[-1 - n], "kind": "Service"}
        for n, name in enumerate(HOSTILE)
    ]
    counts = {"port": "80", "type": "TCP", "attempts": 3, "established": 2, "failed": 1}
    ids = [one["id"] for one in services]
    ring = zip(ids, [*ids[1:], ids[0]], strict=True)
    return {"services": services, "edges": [{"source": a, "destination": b, **counts} for a, b in ring]}


def test_dot_has_as_many_nodes_and_edges_as_the_map() -> None:
    """No name ends its string."""
    found = hostile_map()
    text = to_dot(found, found["edges"])
    quoted = re.compile(r'"(?:[^"\\]|\\.)*"')
    bare = quoted.sub("Q", text)
    assert '"' not in bare
    assert bare.count("->") == len(HOSTILE)
    assert bare.count("[label=Q]") == len(HOSTILE)
    assert not re.search("[\x00-\x09\x0b-\x1f]", text)


def test_mermaid_has_names_as_entities_only() -> None:
    """A quoted label holds letters, digits, harmless marks and numbered entities."""
    found = hostile_map()
    lines = to_mermaid(found, found["edges"]).splitlines()
    assert len(lines) == 1 + 2 * len(HOSTILE)
    for line in lines[1:]:
        assert re.fullmatch(r'  n\d+(\["[^"\[\]<>`|{}%\\]*"\]| -->\|"[^"\[\]<>`|{}%\\]*"\| n\d+)', line), line
        label = line.split('"')[1]
        assert re.fullmatch(r"(?:[^#;]|#\d+;)*", label), label


def test_graphml_is_well_formed_and_has_the_names() -> None:
    """What XML cannot hold is replaced, all else is there as it was."""
    found = hostile_map()
    root = ET.fromstring(to_graphml(found, found["edges"]))  # noqa: S314 - our own
    names = [one.text for one in root.iter(f"{{{GRAPHML}}}data") if one.get("key") == "node-name"]
    expected = {re.sub("[\x00\x1b\ufffe]", "\ufffd", name) for name in HOSTILE}
    assert {(name or "").replace("\r", "\n") for name in names} == expected
    assert len(list(root.iter(f"{{{GRAPHML}}}edge"))) == len(HOSTILE)


def test_csv_cells_are_no_formulas() -> None:
    """Read back they are the names, with an apostrophe where a spreadsheet would compute."""
    rows = list(csv.reader(io.StringIO(to_csv(["name", "n"], [[name, -3] for name in HOSTILE if name != "\x00"]))))
    for (shown, number), name in zip(rows[1:], [one for one in HOSTILE if one != "\x00"], strict=True):
        assert shown in {name, f"'{name}"}
        assert not shown.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
        assert number == "-3"
    assert cell(None) == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("shop/web>shop/cart:80", EdgeName("shop/web", "shop/cart", "80")),
        ("shop/web -> shop/cart:80", EdgeName("shop/web", "shop/cart", "80")),
        ("a>external/2001:db8::1:443", EdgeName("a", "external/2001:db8::1", "443")),
    ],
)
def test_edge_has_two_ends_and_a_port(text: str, name: EdgeName) -> None:
    """The port is behind the last colon: an address has some of its own."""
    assert parse_edge(text) == name


@pytest.mark.parametrize("text", ["", "a", "a>b", "a:80", ">b:80", "a>:80", "a>b:"])
def test_edge_that_lacks_a_part_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="expected SOURCE>DESTINATION:PORT"):
        parse_edge(text)


def test_name_of_two_services_is_not_guessed() -> None:
    """The ids to choose from are named."""
    services = [{"id": f"service/{space}/web", "name": "web", "namespace": space} for space in ("a", "b")]
    assert find_vertex("a/web", services, "source") == "service/a/web"
    with pytest.raises(UsageError, match="one of service/a/web, service/b/web"):
        find_vertex("web", services, "source")
