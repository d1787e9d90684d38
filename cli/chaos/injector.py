"""`podsonar injector`: one fault on one pod of the node, held for a runner."""

import os
import signal
import sys
import threading
from pathlib import Path

import click

from chaos.injector.injection import Injection
from chaos.injector.order import read_order
from chaos.injector.runner_client import RunnerClient
from podsonar.errors import SettingsError
from podsonar.logs_and_probes import start_logs

VARIABLES = ("PODSONAR_RUNNER_URL", "PODSONAR_INJECTOR_ID", "PODSONAR_INJECTOR_TOKEN")


@click.group()
def injector() -> None:
    """Hold one fault on a pod of this node. Started by a runner as a pod of its own."""


@injector.command("hold")
@click.option(
    "--cgroups",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/host/cgroup"),
    show_default=True,
    help="Where the node's /sys/fs/cgroup is mounted.",
)
def hold_command(cgroups: Path) -> None:
    """Hold the fault of PODSONAR_INJECTION while it is wanted. Once; exit code 0: carried out or called off."""
    start_logs("info", "json")
    missing = [name for name in ("PODSONAR_INJECTION", *VARIABLES) if not os.environ.get(name)]
    if missing:
        raise SettingsError(f"environment variable {missing[0]} is empty: expected what a runner writes into its pod")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    runner = RunnerClient(*(os.environ[name] for name in VARIABLES))
    sys.exit(0 if Injection(read_order(os.environ["PODSONAR_INJECTION"]), runner, cgroups, stop).run() else 1)
