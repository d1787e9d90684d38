"""`podsonar delegate`: apply in this cluster what the manager hands out, within its own rules."""

from pathlib import Path

import click

from cli.check_table import show_checks
from cli.collector import kubeconfig_option
from cli.options import settings_options
from podsonar.settings import DelegateSettings


@click.group()
def delegate() -> None:
    """Apply what the manager hands out, within rules of its own."""


@delegate.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@settings_options(DelegateSettings)
@kubeconfig_option
def preflight(settings: DelegateSettings, kubeconfig: Path | None, *, as_json: bool) -> None:
    """Check settings, rights and the way to the manager. Exit code 3 where a task would fail; nothing is changed."""
    from cluster_api.client import ApiClient  # noqa: PLC0415 - the library behind it takes a second to import
    from delegate.preflight import check_all  # noqa: PLC0415

    show_checks(check_all(settings, ApiClient.connect(kubeconfig, "delegate")), as_json=as_json)


@delegate.command()
@settings_options(DelegateSettings)
@kubeconfig_option
def run(settings: DelegateSettings, kubeconfig: Path | None) -> None:
    """Hold one request at the manager, and work on its tasks."""
    from delegate import app  # noqa: PLC0415 - the library behind it takes a second to import

    app.run(settings, kubeconfig, app.stop_on_signals())
