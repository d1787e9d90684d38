"""`podsonar map`, `windows`, `window`, `edges`, `history` and `export`: what the manager knows, in rows and formats."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson

from cli.manager_api import EXPECTED, ManagerApi, manager_options
from cli.map.csv_rows import to_csv
from cli.map.edges_text import find_vertex, matching, parse_edge, titles
from cli.map.graph_formats import to_dot, to_graphml, to_mermaid
from cli.map.printing import print_rows, write_output
from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape

FORMATS = ("table", "json", "dot", "mermaid", "graphml", "csv", "networkpolicy", "parquet")
ROW_FORMATS = ("table", "json", "csv")
NO_CONTENT = 204
EDGE_COLUMNS = ("source", "destination", "port", "type", "attempts", "established", "failed", "lastErrno", "accepted")
GRAPHS: dict[str, Callable[[dict[str, Any], Sequence[Any]], str]] = {
    "dot": to_dot,
    "mermaid": to_mermaid,
    "graphml": to_graphml,
}


def needed(api: ManagerApi | None) -> ManagerApi:
    """The client; UsageError without --manager."""
    if api is None:
        raise UsageError("expected --manager URL and --key-file FILE")
    return api


def output_option(formats: Sequence[str]) -> Callable[[Any], Any]:
    """The option -o."""
    return click.option(
        "-o",
        "--format",
        "shape",
        type=click.Choice(formats),
        default="table",
        show_default=True,
        help="How to show it.",
    )


def print_shape(shape: str, document: Any, columns: Sequence[str], rows: list[Sequence[object]], red: set[int]) -> None:  # noqa: ANN401
    """Rows as a table or CSV, or the document that they come from."""
    if shape == "json":
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    elif shape == "csv":
        click.echo(to_csv(columns, rows), nl=False)
    else:
        print_rows(columns, rows, red=red)


def edge_rows(found: dict[str, Any], edges: Sequence[Any]) -> list[Sequence[object]]:
    """Edges as rows, with the names of their ends."""
    names = titles(found["services"])
    rows: list[Sequence[object]] = []
    for edge in edges:
        ends = [names.get(edge[name], edge[name]) for name in EDGE_COLUMNS[:2]]
        rows.append([*ends, *(edge[name] for name in EDGE_COLUMNS[2:])])
    return rows


def parquet(found: dict[str, Any]) -> dict[str, bytes]:
    """The tables of a map as Parquet files, by name."""
    from manager.history.map_tables import make_tables, to_parquet  # noqa: PLC0415 - pyarrow takes 0.2 s

    tables = make_tables(found | {"aggregated": found.get("aggregated", {})})
    return {name: to_parquet(table) for name, table in zip(tables._fields[:4], tables[:4], strict=True)}


@click.command("map")
@click.option("--window", default="latest", show_default=True, help="Id or name of a window, `latest` or `previous`.")
@click.option("--namespace", default="", help="Only edges that touch it.")
@click.option("--failed", is_flag=True, help="Only edges with failed connects.")
@click.option("--external", is_flag=True, help="Only edges to what is no service or workload.")
@click.option("--output", type=click.Path(path_type=Path), help="File to write to; stdout without it.")
@output_option(FORMATS)
@manager_options
def map_command(
    window: str, namespace: str, failed: bool, external: bool, output: Path | None, shape: str, api: ManagerApi | None
) -> None:
    """Show who talks to whom in a window."""
    found = needed(api).map(window)
    edges = list(matching(found, namespace, failed=failed, external=external))
    if shape == "table" and output is None:
        print_rows(EDGE_COLUMNS, edge_rows(found, edges), red=[n for n, edge in enumerate(edges) if edge["failed"]])
        return
    if shape == "parquet":
        if output is None:
            raise UsageError("-o parquet wants --output FILE; `podsonar export FOLDER` writes every table")
        content = parquet(found | {"edges": edges})["edges"]
    elif shape == "networkpolicy":
        from cli.map.policies import generated  # noqa: PLC0415 - other formats need none of it

        content = generated(needed(api), [window], [namespace] if namespace else []).encode()
    elif shape == "json":
        content = orjson.dumps(found | {"edges": edges}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    elif shape in GRAPHS:
        content = GRAPHS[shape](found, edges).encode()
    else:
        content = to_csv(EDGE_COLUMNS, edge_rows(found, edges)).encode()
    write_output(output, content)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=30, show_default=True, help="How many, newest first.")
@output_option(ROW_FORMATS)
@manager_options
def windows(limit: int, shape: str, api: ManagerApi | None) -> None:
    """Show the windows with their totals and names."""
    items = needed(api).get(f"{needed(api).agent_path}/windows", {"limit": str(limit)})["items"]
    columns = ("window", "edges", "attempts", "failed", "failedEdges", "lost", "recall", "nodes", "names", "ordered")
    rows: list[Sequence[object]] = []
    for one in items:
        totals = one["totals"] or {}
        nodes = totals.get("nodes")
        whole = f"{nodes['whole']}/{sum(nodes.values())}" if nodes else None
        recall = None if one["recall"] is None else f"{100 * one['recall']:.1f} %"
        counts = [totals.get(name) for name in columns[1:6]]
        ordered = one.get("purpose") and f"{one['purpose']['run']} ({one['purpose']['kind']})"
        rows.append([one["id"], *counts, recall, whole, " ".join(one["tags"]), ordered])
    red = {n for n, one in enumerate(items) if (one["totals"] or {}).get("lost")}
    print_shape(shape, items, columns, rows, red)


@click.group()
def window() -> None:
    """Give windows names, such as a release."""


@window.command()
@click.argument("name")
@click.option("--window", "wanted", default="latest", show_default=True, help="Id of the window.")
@click.option("--delete", is_flag=True, help="Take the name away.")
@manager_options
def tag(name: str, wanted: str, delete: bool, api: ManagerApi | None) -> None:
    """Give a window NAME, which the other commands take in place of its id. Needs a key of scope admin."""
    path = f"/api/v1{needed(api).agent_path}/tags/{quote(name, safe='')}"
    if delete:
        status = needed(api).request("DELETE", path).status_code
        if status != NO_CONTENT:
            raise needed(api).error(f"manager answered {status} to DELETE {path}, expected {NO_CONTENT}; {EXPECTED}")
        click.echo(escape(f"no window has the name {name}"), err=True)
        return
    answer = needed(api).json("PUT", path, params={"window": wanted})
    click.echo(escape(f"window {answer['window']} has the name {answer['name']}"), err=True)


@click.command()
@click.option("--new-since", default="", help="A time, a span such as 24h, or a window.")
@click.option(
    "--change", type=click.Choice(["new", "gone", "failed"]), default="new", show_default=True, help="Which edges."
)
@output_option(ROW_FORMATS)
@manager_options
def edges(new_since: str, change: str, shape: str, api: ManagerApi | None) -> None:
    """Show the edges that are new, gone or failing since a time."""
    query = {"since": new_since} if new_since else {}
    found = needed(api).get(f"{needed(api).agent_path}/changes", query)
    ends = ("source", "destination", "port", "type")
    columns = (*ends, "attempts", "failed") if change == "failed" else (*ends, "firstSeen", "lastSeen")
    rows: list[Sequence[object]] = [[one[name] for name in columns] for one in found[change]]
    print_shape(shape, found[change], columns, rows, set())


@click.command()
@click.argument("edge")
@click.option("--type", "protocol", default="TCP", show_default=True, help="The edge's protocol.")
@click.option("--from", "since", default="", help="A time, a span such as 90d, or a window; 30 days without it.")
@output_option(ROW_FORMATS)
@manager_options
def history(edge: str, protocol: str, since: str, shape: str, api: ManagerApi | None) -> None:
    """Show the counts of EDGE by window. EDGE is SOURCE>DESTINATION:PORT, such as shop/web>shop/cart:80."""
    name = parse_edge(edge)
    services = needed(api).map("latest")["services"]
    query = {"port": name.port, "type": protocol} | ({"from": since} if since else {})
    for end, text in (("source", name.source), ("destination", name.destination)):
        query[end] = text if "/" in text and text.count("/") > 1 else find_vertex(text, services, end)
    found = needed(api).get(f"{needed(api).agent_path}/edges/history", query)
    columns = ("window", "attempts", "established", "failed")
    counted = zip(found["windows"], *(found[name] for name in columns[1:]), strict=True)
    rows: list[Sequence[object]] = [list(row) for row in counted if row[1] is not None]
    print_shape(shape, found, columns, rows, {n for n, row in enumerate(rows) if row[3]})
    if shape == "table":
        seen = f"first seen {found['firstSeen']}, last seen {found['lastSeen']}" if found["firstSeen"] else "never seen"
        click.echo(escape(f"{seen}; in {len(rows)} of {len(found['windows'])} windows"), err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--window", "wanted", multiple=True, help="Id or name; repeat it. Without it, the newest 100.")
@manager_options
def export(folder: Path, wanted: tuple[str, ...], api: ManagerApi | None) -> None:
    """Write windows into FOLDER as Parquet. Below edges/, details/, services/ and nodes/, one file per window."""
    listed = needed(api).get(f"{needed(api).agent_path}/windows", {"limit": "100"})["items"]
    names = wanted or [one["id"] for one in listed]
    for name in names:
        found = needed(api).map(name)
        if found["window"] is None:
            raise UsageError("the manager has no window yet, expected one")
        for table, content in parquet(found).items():
            place = folder / table
            place.mkdir(parents=True, exist_ok=True)
            write_output(place / f"{found['window']['id'].replace('-', '').replace(':', '')}.parquet", content)
    click.echo(f"{len(names)} windows in {folder}", err=True)
