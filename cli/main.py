"""The `podsonar` command: one group, one file a subcommand; a failure is one sentence and an exit code."""

import platform
import sys
from importlib.metadata import version as installed_version

import click
import orjson

from cli.lazy_group import LazyGroup
from podsonar.errors import PodsonarError
from podsonar.logs_and_probes import escape
from podsonar.supervised import place_of

MISTAKE = 70

COMMANDS = {
    "demo": "cli.demo.command:demo",
    "agent": "cli.agent.commands:agent",
    "manager": "cli.manager.commands:manager",
    "collector": "cli.collector:collector",
    "map": "cli.map.commands:map_command",
    "windows": "cli.map.commands:windows",
    "window": "cli.map.commands:window",
    "edges": "cli.map.commands:edges",
    "history": "cli.map.commands:history",
    "explain": "cli.map.explaining:explain",
    "diff": "cli.map.compare:diff",
    "policy": "cli.map.policies:policy",
    "export": "cli.map.commands:export",
    "logs": "cli.logs:logs",
    "linux": "cli.chaos.linux:linux",
    "linux-agent": "cli.chaos.linux_agent:linux_agent",
    "delegate": "cli.delegate:delegate",
    "replay": "cli.replay:replay",
    "chaos": "cli.chaos.commands:chaos",
    "runner": "cli.chaos.runner:runner",
    "injector": "cli.chaos.injector:injector",
    "config": "cli.config:config",
    "version": "cli.main:version",
}


@click.group(cls=LazyGroup, later=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
def podsonar() -> None:
    """Kubernetes service discovery by observation: what runs in a cluster and who talks to whom."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def version(as_json: bool) -> None:
    """Print the version, its revision, and what it runs on."""
    release, _, revision = installed_version("podsonar").partition("+")
    facts = {
        "version": release,
        "revision": revision.removeprefix("g") or "unknown",
        "python": platform.python_version(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        click.echo("podsonar {version} (revision {revision}, Python {python}, {platform})".format(**facts))


def main() -> None:
    """Run the command; PodsonarError becomes its sentence on stderr and its exit code, any other error 70 and a place.

    70 is EX_SOFTWARE of sysexits.h: 1 may be what a command says of windows or runs.
    """
    try:
        podsonar(prog_name="podsonar")
    except PodsonarError as error:
        click.echo(escape(f"podsonar: {error}"), err=True)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - nobody else takes it; its text may hold anything
        text = f"{type(error).__name__} at {place_of(error)}, which is a mistake of Podsonar: expected no such error"
        click.echo(f"podsonar: {text}", err=True)
        sys.exit(MISTAKE)
