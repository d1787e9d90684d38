"""`podsonar agent`: trace this node's connects in windows, or capture them into a file."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import click

from cli.lazy import LazyGroup
from cli.options import settings_options
from discovery.errors import UsageError
from discovery.records import Window, parse_rfc3339
from discovery.settings import AgentSettings

LOADER_PYTHON = "/usr/bin/python3"
NODE_AGENT = Path(__file__).resolve().parent.parent / "node_agent"


# What the agent that stays does not need is imported by who asks for it: it would cost 10 MiB on every node.
LATER = {"preflight": "cli.preflight:preflight", "support-bundle": "cli.support_bundle:support_bundle"}


@click.group(cls=LazyGroup, later=LATER)
def agent() -> None:
    """Trace TCP connects on this node."""


def loader_command() -> list[str]:
    """How a loader is started; the descriptor of its socket is to be added."""
    return [LOADER_PYTHON, "-I", "-B", str(NODE_AGENT / "loader.py")]


def become_supervisor(hidden: str, shown: str) -> None:
    """Replace this process by the supervisor, which starts the hidden command with the same words."""
    words = sys.argv[sys.argv.index(shown) + 1 :]
    supervisor = [LOADER_PYTHON, "-I", "-S", str(NODE_AGENT / "supervisor.py")]
    loader = [LOADER_PYTHON, str(NODE_AGENT / "loader.py")]
    command = [sys.executable, "-c", "from cli.main import main; main()", "agent", hidden, "--supervisor-fd", "{fd}"]
    sys.stdout.flush()
    os.execv(supervisor[0], [*supervisor, *loader, *command, *words])


def one_window(start: str, end: str) -> Callable[[int], Window | None]:
    """Names the given window once, then none."""
    window = Window(parse_rfc3339(start), parse_rfc3339(end))
    if window.end_ns <= window.start_ns:
        raise UsageError(f"--once-window {start} {end}: expected the end after the start")
    left = [window]
    return lambda _after_ns: left.pop() if left else None


def stop_on_signals() -> threading.Event:
    """Set when SIGTERM or SIGINT arrives."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: None)  # tokens and certificates are read again whenever they change
    return stop


once_window = click.option(
    "--once-window",
    nargs=2,
    metavar="START END",
    help="Observe this window only (RFC 3339), deliver, exit.",
    hidden=True,
)
supervisor_fd = click.option("--supervisor-fd", type=int, required=True, hidden=True)


@agent.command()
@settings_options(AgentSettings)
@once_window
def run(settings: AgentSettings, once_window: tuple[str, str] | None) -> None:
    """Observe every window, resolve and push what was seen."""
    check(settings, once_window)
    become_supervisor("observe", "run")


def check(settings: AgentSettings, once_window: tuple[str, str] | None) -> None:
    """Stop here, before any process is started, at settings that cannot work."""
    if not settings.node.name:
        raise UsageError(
            "node.name is empty, expected the node's name: set NODE_NAME from the downward API (spec.nodeName)"
        )
    if once_window:
        one_window(*once_window)


@agent.command(hidden=True)
@settings_options(AgentSettings)
@once_window
@supervisor_fd
def observe(settings: AgentSettings, once_window: tuple[str, str] | None, supervisor_fd: int) -> None:
    """What `run` starts below the supervisor."""
    stop = stop_on_signals()
    for name in ("rich", "pygments"):
        sys.modules[name] = None  # type: ignore[assignment] # httpx and structlog would import 5 MiB to draw tables
    from node_agent.service import serve  # noqa: PLC0415 - `run` itself needs none of it

    windows = one_window(*once_window) if once_window else None
    serve(settings, socket.socket(fileno=supervisor_fd), stop, windows)


@agent.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seconds", type=click.FloatRange(min=0.1, max=3600), default=30, show_default=True)
@settings_options(AgentSettings)
def capture(file: Path, **_checked: object) -> None:
    """Write what this node does in the next SECONDS into FILE, for `podsonar replay`."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"capture file {str(file)!r}: expected a file in an existing folder")
    become_supervisor("capture-bare", "capture")


@agent.command("capture-bare", hidden=True)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--seconds", type=float, default=30)
@settings_options(AgentSettings)
@supervisor_fd
def capture_bare(file: Path, seconds: float, settings: AgentSettings, supervisor_fd: int) -> None:
    """What `capture` starts below the supervisor."""
    from node_agent import capture_file  # noqa: PLC0415
    from node_agent.agent import capture_now  # noqa: PLC0415

    taken = capture_now(settings, socket.socket(fileno=supervisor_fd), seconds, stop_on_signals())
    capture_file.write(file, taken)
    attempts = sum(flow.attempts for flow in taken.flows)
    click.echo(f"{file}: {len(taken.flows)} flows, {attempts} attempts, lost {sum(taken.lost.values())}", err=True)
