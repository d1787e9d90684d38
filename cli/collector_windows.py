"""`podsonar collector windows`: order windows at the collector, and see what was ordered."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import click

from chaos.runner.window_client import KnownWindows, WindowClient, WindowsRefusedError
from cli.options import settings_options
from delivery.token_file import TokenFile
from podsonar.errors import UsageError
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339, rfc3339
from podsonar.window_orders import LEAD_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS, soonest_start_ns

MOST_OF_KIND = 64


@click.group()
def windows() -> None:
    """Order windows for an experiment. Node agents with node.orders observe them."""


def count_option(kind: str) -> Callable[[Any], Any]:
    """How many windows of a kind."""
    return click.option(
        f"--{kind}",
        type=click.IntRange(0, MOST_OF_KIND),
        default=0,
        show_default=True,
        help=f"How many {kind} windows.",
    )


@windows.command()
@settings_options(CollectorSettings)
@click.option("--run", required=True, metavar="ID", help="The run that the windows are for.")
@count_option("baseline")
@count_option("fault")
@count_option("recovery")
@click.option("--seconds", type=click.IntRange(SHORTEST_SECONDS, LONGEST_SECONDS), default=10, show_default=True)
@click.option("--at", metavar="TIME", help=f"When the first begins, RFC 3339; {LEAD_SECONDS} s from now without it.")
def order(
    settings: CollectorSettings, run: str, baseline: int, fault: int, recovery: int, seconds: int, at: str | None
) -> None:
    """Order windows back to back: baseline, fault, recovery. Exit 1 says when there is room for them."""
    kinds = ["baseline"] * baseline + ["fault"] * fault + ["recovery"] * recovery
    if not kinds:
        raise UsageError("no window is ordered: expected one of --baseline, --fault and --recovery")
    start_ns = parse_rfc3339(at) if at else soonest_start_ns(time.time_ns())
    print_windows(lambda client: client.order(run, start_ns, seconds, kinds), settings)


@windows.command()
@settings_options(CollectorSettings)
@click.argument("run")
def show(settings: CollectorSettings, run: str) -> None:
    """Show the windows of RUN. Exit 1 if the collector knows none (any more)."""
    print_windows(lambda client: client.of_run(run), settings)


def print_windows(ask: Callable[[WindowClient], KnownWindows], settings: CollectorSettings) -> None:
    """One line a window, then how many agents would hear of another one now; a refusal says when there is room."""
    directory = settings.directory
    token = TokenFile(directory.token_file).read()
    try:
        with closing(WindowClient(directory.url, token, directory.ca_file)) as client:
            known = ask(client)
    except WindowsRefusedError as error:
        if error.next_free_ns is None:
            raise
        raise WindowsRefusedError(f"{error}; there is room from {rfc3339(error.next_free_ns)} on") from error
    for window in known.windows:
        kind = window.purpose.kind if window.purpose else ""
        click.echo(f"{window.id}  {(window.end_ns - window.start_ns) // NS_PER_SECOND} s  {kind}")
    click.echo(f"{known.listening} agents listen", err=True)
