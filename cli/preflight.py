"""`podsonar agent preflight`: can this machine be traced, and can what was seen be delivered?"""

import click
import orjson
from rich.console import Console
from rich.table import Table

from cli.options import settings_options
from podsonar.errors import PreflightError
from podsonar.logs_and_probes import escape
from podsonar.settings import AgentSettings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@settings_options(AgentSettings)
def preflight(settings: AgentSettings, *, as_json: bool) -> None:
    """Check this machine line by line; exit code 3 where tracing or delivery cannot work."""
    from cli.agent import loader_command  # noqa: PLC0415 - it imports this module
    from node_agent.preflight.checks import check_all  # noqa: PLC0415 - other commands need none of it
    from node_agent.preflight.probes import gather_facts  # noqa: PLC0415

    lines = check_all(gather_facts(settings, loader_command()))
    failed = [line.name for line in lines if line.state == "fail"]
    if as_json:
        body = {"ok": not failed, "checks": [line._asdict() for line in lines]}
        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
    else:
        table = Table("check", "", "found", "what to do", box=None, pad_edge=False)
        for line in lines:
            state = f"[{COLOURS[line.state]}]{line.state}[/]"
            table.add_row(line.name, state, *(escape(text).replace("[", "\\[") for text in (line.found, line.todo)))
        Console(width=None if Console().is_terminal else 160).print(table)
    if failed:
        raise PreflightError(f"preflight: {len(failed)} of {len(lines)} checks failed: {', '.join(failed)}")
