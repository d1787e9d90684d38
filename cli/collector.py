"""`podsonar collector`: list what runs in the cluster, and answer who owned an address."""

import signal
import sys
import threading
from pathlib import Path

import click
import orjson

from cli.options import settings_options
from discovery.settings import CollectorSettings
from discovery.telemetry import start_logs

kubeconfig_option = click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="KUBECONFIG",
    help="Which API server, as whom; without it, the service account of this pod [env KUBECONFIG].",
)


@click.group()
def collector() -> None:
    """List what runs in the cluster."""


@collector.command()
@settings_options(CollectorSettings)
@kubeconfig_option
@click.option("--now", is_flag=True, help="List once at the start, before the first tick.")
def run(settings: CollectorSettings, kubeconfig: Path | None, now: bool) -> None:
    """List every window, push the inventory, and serve the directory."""
    from collector import service  # noqa: PLC0415 - the library behind it takes a second to import

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service.run(settings, kubeconfig, stop, now=now)


@collector.command()
@settings_options(CollectorSettings)
@kubeconfig_option
@click.option("--output", default="-", show_default=True, help="File for the bodies, one a line; `-` for stdout.")
def once(settings: CollectorSettings, kubeconfig: Path | None, output: str) -> None:
    """List once and print exactly what would be pushed."""
    from collector import service  # noqa: PLC0415
    from collector.api_server import ApiServer  # noqa: PLC0415

    start_logs(settings.log.level, settings.log.format)
    api = ApiServer.connect(kubeconfig)
    parts = service.inventory(api, settings, service.window_now(settings))
    content = b"".join(orjson.dumps(part) + b"\n" for part in parts)
    if output == "-":
        sys.stdout.buffer.write(content)
    else:
        Path(output).write_bytes(content)
