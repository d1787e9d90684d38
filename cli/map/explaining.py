"""`podsonar explain`: why an edge is there, or what it means that it is not."""

from typing import Any

import click
import orjson

from cli.manager_api import ManagerApi, manager_options
from cli.map.commands import needed, output_option
from cli.map.printing import print_rows
from podsonar.logs_and_probes import escape

VERDICTS = {
    "seen": "seen",
    "not_seen_would_have_been": "not seen, and would have been",
    "not_observed": "not observed",
}


@click.command()
@click.argument("source")
@click.argument("destination")
@click.option("--window", default="latest", show_default=True, help="Id or name of a window.")
@click.option("--port", default="", help="Only edges to this port.")
@output_option(("table", "json"))
@manager_options
def explain(source: str, destination: str, window: str, port: str, shape: str, api: ManagerApi | None) -> None:
    """Show why there is an edge, or what its absence means. SOURCE and DESTINATION are names, pods or addresses."""
    query = {"source": source, "destination": destination, "window": window} | ({"port": port} if port else {})
    found = needed(api).get(f"{needed(api).agent_path}/explain", query)
    if shape == "json":
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    click.echo(f"{', '.join(map(escape, found['source']))} -> {', '.join(map(escape, found['destination']))}")
    click.echo(escape(f"window {found['window']}: {VERDICTS[found['verdict']]}"))
    for reason in found["reasons"]:
        click.echo(f"  {escape(reason)}")
    show_evidence(found)


def known_by(record: dict[str, Any]) -> tuple[str, ...]:
    """How the pod of a record is known, and its cgroups."""
    return (record["identity"], *cgroup_lines(record))


def cgroup_lines(pod: dict[str, Any]) -> list[str]:
    """The cgroups in which a pod was seen; a manager of before has none."""
    more = pod.get("moreCgroups")
    paths = [f"  cgroup {path}" for path in pod.get("cgroups") or ()]
    return [*paths, *([f"  and {more} more cgroups of this pod"] if more else [])]


def show_evidence(found: dict[str, Any]) -> None:
    """The edges, the records that they are made of, and who held the addresses."""
    if found["edges"]:
        columns = ("source", "destination", "port", "attempts", "established", "failed", "firstSeen", "lastSeen")
        click.echo("\nedges")
        print_rows(columns, [[edge[name] for name in columns] for edge in found["edges"]])
    if found["records"]:
        columns = (
            "node",
            "sourceIP",
            "destinationIP",
            "destinationPort",
            "attempts",
            "failed",
            "firstSeen",
            "lastSeen",
        )
        click.echo("\nrecords" + (f" (and {int(found['moreRecords'])} more)" if found["moreRecords"] else ""))
        print_rows(columns, [[one[name] for name in columns] for one in found["records"]])
        for lines in dict.fromkeys(map(known_by, found["records"])):
            for text in lines:
                click.echo(f"  {escape(text)}")
    elif found["edges"] and not found["batchesKept"]:
        click.echo("\nrecords: older than the retention of batches")
    for one in found["addresses"]:
        held = one["heldBy"]
        who = (
            f"{held['kind']} {held['namespace']}/{held['name']} since {held['from']}" if held else "nobody for certain"
        )
        click.echo()
        click.echo(escape(f"address {one['address']}, {one['from']} to {one['to']}: {who}"))
        for text in cgroup_lines(held or {}):
            click.echo(escape(text))
        for other in one["others"]:
            click.echo(escape(f"  not {other['kind']} {other['namespace']}/{other['name']}: {other['ruledOut']}"))
