"""`podsonar runner`: one experiment in the cluster that the runner's pod is in."""

import os
import sys
from pathlib import Path

import click

from chaos.runner.app import run_runner
from podsonar.logs_and_probes import start_logs


@click.group()
def runner() -> None:
    """Run experiments in a cluster. Started by a delegate or by `kubectl apply`, with the settings of its manifests."""


@runner.command("run")
@click.option("--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), help="Instead of the pod's own account.")
def run_command(kubeconfig: Path | None) -> None:
    """Run the experiment that the runner's ConfigMap names, once. Exit 0: Completed, 1: anything else."""
    start_logs("info", "json")
    sys.exit(0 if run_runner(os.environ, kubeconfig) == "Completed" else 1)
