"""`podsonar agent`: traces this node's connects in windows, or captures them into a file."""

import os
import socket
import sys
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import click

from cli.lazy_group import LazyGroup
from cli.options import settings_options
from node_agent.privileged import unprivileged_user
from node_agent.runtime import entrypoint
from podsonar.errors import UsageError
from podsonar.settings import AgentSettings

LOADER_PYTHON = "/usr/bin/python3"
NODE_AGENT = Path(__file__).resolve().parent.parent.parent / "node_agent"


# Imported only by the command that needs it.
LATER = {"preflight": "cli.agent.preflight:preflight", "support-bundle": "cli.agent.support_bundle:support_bundle"}


@click.group(cls=LazyGroup, later=LATER)
def agent() -> None:
    """Trace TCP connects on this node."""


def loader_command() -> list[str]:
    """How a loader is started; the descriptor of its socket is to be added."""
    return [LOADER_PYTHON, "-I", "-B", str(NODE_AGENT / "privileged" / "loader.py")]


def give_up_root(settings: AgentSettings, *folders: str) -> None:
    """Become `node.runAsUser` with a loader's capabilities alone, if it is set and this is uid 0; UsageError if not
    possible.

    The folders, which belong to uid 0 on a host path, become writable to that user first.
    """
    node = settings.node
    if not node.run_as_user or os.geteuid():
        return
    group = node.run_as_group or node.run_as_user
    try:
        for folder in folders:
            unprivileged_user.hand_over(folder, node.run_as_user, group)
        unprivileged_user.become(node.run_as_user, group, perf=node.method == "tracepoint")
    except OSError as error:
        raise UsageError(f"node.runAsUser {node.run_as_user}: {error}") from error


def give_up_root_or_say(settings: AgentSettings, *folders: str) -> str:
    """Do the same; return why it is not possible, empty if it is."""
    try:
        give_up_root(settings, *folders)
    except UsageError as error:
        return str(error)
    return ""


def become_supervisor(agent_command: list[str]) -> None:
    """Replace this process by the supervisor, which starts the agent by this command."""
    supervisor = [LOADER_PYTHON, "-I", "-S", str(NODE_AGENT / "privileged" / "supervisor.py")]
    loader = [LOADER_PYTHON, str(NODE_AGENT / "privileged" / "loader.py")]
    sys.stdout.flush()
    os.execv(supervisor[0], [*supervisor, *loader, sys.executable, "-c", *agent_command])


once_window = click.option(
    "--once-window",
    nargs=2,
    multiple=True,
    metavar="START END",
    help="Observe this window only (RFC 3339), deliver, exit. Several in order are several windows.",
    hidden=True,
)
supervisor_fd = click.option("--supervisor-fd", type=int, required=True, hidden=True)


@agent.command()
@settings_options(AgentSettings)
@once_window
def run(settings: AgentSettings, once_window: tuple[tuple[str, str], ...]) -> None:
    """Observe every window, resolve and push what was seen."""
    check_settings(settings, once_window)
    give_up_root(settings, settings.spool.folder)
    kept = entrypoint.write_handoff(settings, version("podsonar"))
    become_supervisor([entrypoint.PROGRAM, "observe", "{fd}", str(kept), *chain.from_iterable(once_window)])


def check_settings(settings: AgentSettings, once_window: tuple[tuple[str, str], ...]) -> None:
    """Stop here, before any process is started, at settings that cannot work."""
    if not settings.node.name:
        raise UsageError(
            "node.name is empty, expected the node's name: set NODE_NAME from the downward API (spec.nodeName)"
        )
    if once_window:
        entrypoint.given_windows([*chain.from_iterable(once_window)])


@agent.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=30, show_default=True)
@settings_options(AgentSettings)
def capture(file: Path, settings: AgentSettings, **_checked: object) -> None:
    """Write what this node does now into FILE. For SECONDS; `podsonar replay` reads it."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"capture file {str(file)!r}: expected a file in an existing folder")
    give_up_root(settings)
    if not os.access(file.resolve().parent, os.W_OK):
        raise UsageError(f"capture file {str(file)!r}: expected a folder to which uid {os.geteuid()} may write")
    words = sys.argv[sys.argv.index("capture") + 1 :]
    become_supervisor(["from cli.main import main; main()", "agent", "capture-bare", "--supervisor-fd", "{fd}", *words])


@agent.command("capture-bare", hidden=True)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seconds", type=float, default=30)
@settings_options(AgentSettings)
@supervisor_fd
def capture_bare(file: Path, seconds: float, settings: AgentSettings, supervisor_fd: int) -> None:
    """The loader command that `capture` starts below the supervisor."""
    from node_agent.capture.files import capture_file  # noqa: PLC0415
    from node_agent.runtime.window_loop import capture_now  # noqa: PLC0415

    taken = capture_now(settings, socket.socket(fileno=supervisor_fd), seconds, entrypoint.stop_on_signals())
    capture_file.write(file, taken)
    attempts = sum(flow.attempts for flow in taken.flows)
    click.echo(f"{file}: {len(taken.flows)} flows, {attempts} attempts, lost {sum(taken.lost.values())}", err=True)
