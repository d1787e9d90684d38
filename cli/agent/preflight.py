"""`podsonar agent preflight`: can this machine be traced, and can what was seen be delivered?"""

import click

from cli.check_table import show_checks
from cli.options import settings_options
from podsonar.settings import AgentSettings


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@settings_options(AgentSettings)
def preflight(settings: AgentSettings, *, as_json: bool) -> None:
    """Check this machine line by line. Exit code 3 where tracing or delivery cannot work."""
    from cli.agent.commands import give_up_root_or_say, loader_command  # noqa: PLC0415 - it imports this module
    from node_agent.preflight.checks import check_all  # noqa: PLC0415 - other commands need none of it
    from node_agent.preflight.probes import gather_facts  # noqa: PLC0415

    user_error = give_up_root_or_say(settings, settings.spool.folder)
    lines = check_all(gather_facts(settings, loader_command(), user_error))
    show_checks(lines, as_json=as_json)
