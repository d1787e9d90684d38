"""`podsonar config check`: are these the settings that a program would start with?"""

import click
import msgspec
import orjson

from cli.options import format_default, settings_options
from collector.inventory.field_table import checked_keep
from delivery.manager_url import ingest_url
from delivery.proxies import manager_proxy
from podsonar.logs_and_probes import escape, listen_address, log_level
from podsonar.masking import masked
from podsonar.schedule import next_window
from podsonar.settings import AgentSettings, CollectorSettings, ManagerSettings
from podsonar.settings_sources import leaves, value_at

PROGRAMS: dict[str, type[CollectorSettings] | type[AgentSettings] | type[ManagerSettings]] = {
    "collector": CollectorSettings,
    "agent": AgentSettings,
    "manager": ManagerSettings,
}


def check_values(settings: CollectorSettings | AgentSettings | ManagerSettings) -> None:
    """SettingsError for a value of the right type that the program would refuse as it starts."""
    log_level(settings.log.level, settings.log.format)
    if isinstance(settings, ManagerSettings):
        listen_address("listen", settings.listen)
        return
    next_window(settings.data.cron.expression, settings.data.collection_window_in_min, 0)
    checked_keep(settings.redaction.keep)
    ingest_url(settings)
    manager_proxy(settings.proxy, settings.manager.url)
    if settings.metrics.listen:
        listen_address("metrics.listen", settings.metrics.listen)


def print_settings(settings: msgspec.Struct, *, as_json: bool) -> None:
    """Print all settings as JSON, or those that are not the defaults as text; no password of a URL."""
    values = masked(msgspec.to_builtins(settings))
    if as_json:
        click.echo(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode())
        return
    changed = [
        (".".join(path), value_at(values, list(path)))
        for path, _kind, default in leaves(type(settings))
        if value_at(values, list(path)) != default
    ]
    for name, value in changed:
        click.echo(f"{name}: {escape(format_default(value))}")
    click.echo(f"settings are good; {len(changed)} differ from the defaults", err=True)


@click.group()
def config() -> None:
    """Look at settings without starting anything."""


@config.group()
def check() -> None:
    """Check settings. Exit code 2 and one sentence where a program would not start with them."""


def add_check_command(name: str, cls: type[msgspec.Struct]) -> None:
    """Add the command for one program."""

    @check.command(name, help=f"Check the settings of the {name}.")
    @click.option("--json", "as_json", is_flag=True, help="Print every setting as one JSON document.")
    @settings_options(cls)
    def command(settings: CollectorSettings | AgentSettings | ManagerSettings, *, as_json: bool) -> None:
        check_values(settings)
        print_settings(settings, as_json=as_json)


for program, settings_class in PROGRAMS.items():
    add_check_command(program, settings_class)
