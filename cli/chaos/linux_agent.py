"""`podsonar linux-agent`: asks the manager for tasks of this host, runs them, reports."""

import os
import signal
import socket
import threading
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import click

from chaos.linux_agent.access_key import AccessKey
from chaos.linux_agent.agent_loop import LinuxAgent
from chaos.linux_agent.fault_table import Host
from chaos.linux_agent.host_preflight import cgroup_root, check_host
from chaos.linux_agent.journal import Journal
from chaos.linux_agent.lserver_client import LserverClient
from chaos.linux_agent.metrics import LinuxAgentMetrics
from chaos.probes.probe_rounds import ProbeEnvironment
from cli.options import settings_options
from delivery.manager_url import manager_url
from podsonar.errors import PreflightError, SettingsError
from podsonar.logs_and_probes import serve_metrics, start_logs
from podsonar.settings import LinuxAgentSettings


@click.group("linux-agent")
def linux_agent() -> None:
    """Run experiments on this Linux host."""


def host_of(settings: LinuxAgentSettings) -> Host:
    """What faults need to know of this host."""
    cgroup = Path(settings.linux.cgroup) if settings.linux.cgroup else cgroup_root()
    return Host(cgroup, urlsplit(manager_url(settings)).hostname or "")


def make_agent(settings: LinuxAgentSettings) -> LinuxAgent:
    """The agent; SettingsError if its folder cannot be used."""
    state = Path(settings.linux.state_folder)
    try:
        journal = Journal(state)
    except OSError as error:
        raise SettingsError(
            f"setting linux.stateFolder is {str(state)!r}: {error.strerror}; expected a folder of this user"
        ) from error
    metrics = LinuxAgentMetrics()
    return LinuxAgent(
        LserverClient(settings, lambda code: metrics.requests.labels(code).inc()),
        AccessKey(Path(settings.linux.access_key_file), state),
        journal,
        host_of(settings),
        ProbeEnvironment(
            settings.linux.probe_folder, {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
        ),
        metrics,
        settings.linux.hostname or socket.gethostname(),
        version("podsonar"),
        settings.linux.poll_seconds,
    )


@linux_agent.command()
@settings_options(LinuxAgentSettings)
def run(settings: LinuxAgentSettings) -> None:
    """Ask for tasks and run them, until SIGTERM. A fault that is in is released then."""
    start_logs(settings.log.level, settings.log.format)
    agent = make_agent(settings)
    agent.key.candidates()
    serve_metrics(
        settings.metrics.listen, agent.metrics.registry, lambda: None if agent.is_confirmed else "not_confirmed"
    )
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: over.set())
    agent.serve(over.wait)


@linux_agent.command()
@settings_options(LinuxAgentSettings)
def preflight(settings: LinuxAgentSettings) -> None:
    """Try what faults need on this host, line by line. Exit code 3 if something is missing."""
    missing = 0
    for need in check_host(settings):
        click.echo(f"{'ok     ' if need.is_met else 'missing'}  {need.name}: {need.text}")
        missing += not need.is_met
    if missing:
        raise PreflightError(f"{missing} of the needs are not met")
