"""The `podsonar` command: one group, one file a subcommand; a failure is one sentence and an exit code."""

import sys
from importlib.metadata import version as installed_version

import click

from cli.lazy import LazyGroup
from discovery.errors import PodsonarError

COMMANDS = {
    "demo": "cli.demo:demo",
    "agent": "cli.agent:agent",
    "manager": "cli.manager:manager",
    "collector": "cli.collector:collector",
    "replay": "cli.replay:replay",
    "config": "cli.config:config",
    "version": "cli.main:version",
}


@click.group(cls=LazyGroup, later=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def podsonar() -> None:
    """Kubernetes service discovery by observation: what runs in a cluster and who talks to whom."""


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"podsonar {installed_version('podsonar')}")


def main() -> None:
    """Run the command; PodsonarError becomes its sentence on stderr and its exit code."""
    try:
        podsonar(prog_name="podsonar")
    except PodsonarError as error:
        click.echo(f"podsonar: {error}", err=True)
        sys.exit(error.exit_code)
