"""`podsonar collector`: list what runs in the cluster, and answer who owned an address."""

import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from cli.collector_windows import windows
from cli.options import settings_options
from cli.reload import reload_on_hangup
from podsonar.errors import InputError
from podsonar.json_gzip import inflated
from podsonar.logs_and_probes import start_logs
from podsonar.settings import CollectorSettings

ONCE_SECONDS = 10.0  # somebody waits: how long an API server that refuses or does not answer is asked again

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="KUBECONFIG",
    help="Which API server, as whom; without it, the service account of this pod [env KUBECONFIG].",
)


@click.group()
def collector() -> None:
    """List what runs in the cluster."""


collector.add_command(windows)


@collector.command()
@settings_options(CollectorSettings)
@kubeconfig_option
@click.option("--now", is_flag=True, help="List once at the start, before the first tick.")
def run(settings: CollectorSettings, kubeconfig: Path | None, now: bool) -> None:
    """List every window, push the inventory, and serve the directory."""
    from collector import app  # noqa: PLC0415 - the library behind it takes a second to import

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reload_on_hangup(settings)
    app.run(settings, kubeconfig, stop, now=now)


@contextmanager
def writing(output: str) -> Iterator[BinaryIO]:
    """The file of that name, or stdout for `-`."""
    if output == "-":
        yield sys.stdout.buffer
    else:
        with Path(output).open("wb") as file:
            yield file


@collector.command()
@settings_options(CollectorSettings)
@kubeconfig_option
@click.option("--output", default="-", show_default=True, help="File for the bodies, one a line; `-` for stdout.")
def once(settings: CollectorSettings, kubeconfig: Path | None, output: str) -> None:
    """List once and print exactly what would be pushed."""
    from cluster_api.client import ApiClient  # noqa: PLC0415
    from collector import app  # noqa: PLC0415
    from collector.k8s.list_deadline import ListLimits  # noqa: PLC0415
    from podsonar.malloc import return_large_blocks  # noqa: PLC0415

    start_logs(settings.log.level, settings.log.format)
    return_large_blocks()
    api = ApiClient.connect(kubeconfig)
    api.first_answer_seconds = ONCE_SECONDS
    limits = ListLimits(unauthorized_seconds=ONCE_SECONDS, unreachable_seconds=ONCE_SECONDS)
    selection = app.checked_selection(api, settings, limits)
    inventory = app.inventory_of(api, settings, app.window_now(settings), selection, limits)
    try:
        with tempfile.TemporaryDirectory(prefix="podsonar-") as folder:
            bodies = inventory.listed_bodies(Path(folder))
            with writing(output) as file:
                for payload in bodies:
                    file.write(inflated(payload) + b"\n")
    except OSError as error:
        raise InputError(f"output file {output!r}: {error.strerror}; expected a file to write to") from error
