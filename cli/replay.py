"""`podsonar replay`: a capture or an agent's log through the same stages, offline."""

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import click

from directory.from_inventory import directory_from_inventory
from directory.selection import Selection
from node_agent.replay import Resolver, inventory_bodies, without_inventory
from node_agent.replay import replay as replayed
from podsonar.errors import InputError
from podsonar.gc_pause import gc_paused


def make_resolver(inventory: Path | None) -> Resolver:
    """What answers the questions: the directory of an inventory file, or what can be said without one."""
    if inventory is None:
        return without_inventory
    return directory_from_inventory(inventory_bodies(inventory), Selection()).directory.answer


def printable(text: str) -> str:
    """A text of foreign origin, safe for a terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


@click.command()
@click.argument("capture", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--inventory", type=click.Path(path_type=Path, dir_okay=False), help="Output of `collector once`.")
@click.option("--output", default="-", show_default=True, help="File for the connections body, `-` for stdout.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info"]),
    default="info",
    show_default=True,
    help="`debug` prints one line on stderr for each flow: where it went, or why it was left out.",
)
def replay(capture: Path, inventory: Path | None, output: str, log_level: str) -> None:
    """Resolve CAPTURE (or a log) again and print the connections body."""
    with gc_paused():
        outcome = replayed(capture, make_resolver(inventory))
        for line in outcome.lines(debug=log_level == "debug"):
            click.echo(printable(line), err=True)
        write(output, chain(outcome.content, [b"\n"]))


def write(output: str, content: Iterable[bytes]) -> None:
    """Write the parts of a body to a file, or to stdout for `-`."""
    if output == "-":
        sys.stdout.buffer.writelines(content)
        return
    try:
        with Path(output).open("wb") as file:
            file.writelines(content)
    except OSError as error:
        raise InputError(f"output file {output!r}: {error.strerror}; expected a file to write to") from error
