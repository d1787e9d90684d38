"""A client gives up an idle connection before its server closes it: no request of ours meets that end."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.http.connections import ConnectionLimits
from podsonar.keep_alive import CLIENT_IDLE_SECONDS, SERVER_IDLE_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = ("podsonar", "delivery", "cluster_api", "collector", "delegate", "node_agent", "manager", "chaos", "cli")
# What keeps connections, and the argument by which it is said how long.
KEEPERS = {
    "httpx.Client": "limits",
    "httpcore.ConnectionPool": "keepalive_expiry",
    "uvicorn.Config": "timeout_keep_alive",
}


def keepers() -> Iterator[tuple[str, set[str]]]:
    """Each call in our programs that makes a client or server: file, line and name; its keyword arguments."""
    for program in PROGRAMS:
        for file in sorted((REPOSITORY / program).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in KEEPERS:
                    place = f"{file.relative_to(REPOSITORY)}:{node.lineno} {name}"
                    yield place, {word.arg for word in node.keywords if word.arg}


def test_clients_give_up_idle_connections_in_half_of_the_servers_time() -> None:
    """A request may be on its way for as long again before the server can close its connection."""
    assert 2 * CLIENT_IDLE_SECONDS <= SERVER_IDLE_SECONDS
    assert ConnectionLimits().head_seconds == SERVER_IDLE_SECONDS


@pytest.mark.parametrize(("place", "given"), list(keepers()))
def test_no_client_or_server_leaves_its_idle_time_to_a_library(place: str, given: set[str]) -> None:
    """The defaults of httpx and uvicorn are the same 5 s: the two ends would race."""
    assert KEEPERS[place.rpartition(" ")[2]] in given, place
