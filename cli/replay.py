"""`podsonar replay`: a capture or an agent's log through the same stages, offline."""

import os
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import click

from directory.configured_ranges import ConfiguredRanges, ranges_of
from directory.from_inventory import directory_from_inventory
from directory.selection import Selection
from node_agent.replay import Resolver, without_inventory
from node_agent.replay import replay as replayed
from node_agent.replay_inventory import read_inventory
from podsonar.errors import InputError
from podsonar.gc_pause import gc_paused


def make_resolver(inventory: Path | None, configured: ConfiguredRanges) -> tuple[Resolver, list[str]]:
    """Return what answers queries, the directory of an inventory file if there is one, and what was left out of it."""
    if inventory is None:
        return without_inventory, []
    file = read_inventory(inventory)
    made = directory_from_inventory(file.bodies, Selection(), configured)
    notes = [f"left out of the inventory: {count} {kind}" for kind, count in sorted(file.left_out.items())]
    rejected = sorted(made.rejected.items())
    notes += [f"left out of the inventory: {count} {kind}: {reason}" for (kind, reason), count in rejected]
    return made.directory.answer, notes


def printable(text: str) -> str:
    """A text of foreign origin, safe for a terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


@click.command()
@click.argument("capture", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Output of `collector once` or of `kubectl get … -A -o json`.",
)
@click.option(
    "--cluster-range",
    "cluster_ranges",
    multiple=True,
    metavar="CIDR",
    help="A range that the cluster uses, as `data.clusterRanges`; may be given several times.",
)
@click.option(
    "--external-range",
    "external_ranges",
    multiple=True,
    metavar="CIDR",
    help="A private range that is outside the cluster, as `data.externalRanges`; may be given several times.",
)
@click.option("--output", default="-", show_default=True, help="File for the connections body, `-` for stdout.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info"]),
    default="info",
    show_default=True,
    help="`debug` prints one line on stderr for each flow: where it went, or why it was left out.",
)
def replay(
    capture: Path,
    inventory: Path | None,
    cluster_ranges: tuple[str, ...],
    external_ranges: tuple[str, ...],
    output: str,
    log_level: str,
) -> None:
    """Print the connections of CAPTURE (or a log), resolved again."""
    refuse_input_as_output(output, [capture, *([inventory] if inventory else [])])
    configured = ConfiguredRanges(
        ranges_of("option --cluster-range", cluster_ranges), ranges_of("option --external-range", external_ranges)
    )
    with gc_paused():
        resolve, notes = make_resolver(inventory, configured)
        outcome = replayed(capture, resolve)
        for line in chain(notes, outcome.lines(debug=log_level == "debug")):
            click.echo(printable(line), err=True)
        write(output, chain(outcome.content, [b"\n"]))


def refuse_input_as_output(output: str, inputs: list[Path]) -> None:
    """Raise InputError if the output is one of the inputs, under whatever name."""
    for path in inputs:
        if output != "-" and Path(output).exists() and path.exists() and path.samefile(output):
            raise InputError(f"output file {output!r} is the input {str(path)!r}; expected another file")


def write(output: str, content: Iterable[bytes]) -> None:
    """Write the parts of a body to stdout for `-`, or to a file, which is whole or as it was before."""
    if output == "-":
        sys.stdout.buffer.writelines(content)
        return
    path = Path(output).resolve()
    try:
        if path.exists() and not path.is_file():  # a pipe or a device
            with path.open("wb") as file:
                file.writelines(content)
            return
        write_whole(path, content)
    except OSError as error:
        raise InputError(f"output file {output!r}: {error.strerror}; expected a file to write to") from error


def write_whole(path: Path, content: Iterable[bytes]) -> None:
    """Write a file beside the old one, and put it in its place with the same mode."""
    mode = path.stat().st_mode & 0o7777 if path.exists() else None
    unfinished = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with unfinished.open("xb") as file:
            file.writelines(content)
        if mode is not None:
            unfinished.chmod(mode)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
