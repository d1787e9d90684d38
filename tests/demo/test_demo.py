"""The demo's document is the truth of its pods' connects."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from cli.demo.command import why_untraced
from lab.controlplane.ports import free_ports
from lab.demo import compare
from lab.simulated import cgroups, network

COMMAND = (sys.executable, "-c", "from cli.main import main; main()", "demo", "--json", "--seconds", "6")
TRUTH = {
    "source": "cart",
    "destination": {"kind": "Service", "name": "ledger", "address": "10.96.7.13"},
    "port": 8443,
    "attempts": 11,
    "established": 0,
    "failed": 11,
    "openedBefore": False,
}


def connection(**changed: object) -> dict[str, object]:
    """The connection that shows TRUTH, with changes."""
    ends = {"sourcePod": {"name": "cart-1"}, "destinationService": {"uid": "u"}, "destinationPod": None}
    shown = {"destinationIP": "10.96.7.13", "destinationPort": "8443", "kubernetes": ends}
    counts = {"attempts": 11, "established": 0, "failed": 11, "openedBefore": False}
    return {**shown, **counts, "destination": {"kind": "Service"}, **changed}


@pytest.mark.parametrize(
    ("seen", "found", "wrong"),
    [
        ([connection()], 1, 0),
        ([], 0, 0),
        ([connection(attempts=10)], 0, 1),
        ([connection(), connection(destinationIP="10.96.7.99")], 1, 1),
        ([connection(destination={"kind": "External"})], 0, 1),
        ([connection(kubernetes={"sourcePod": {"name": "cart-1"}, "destinationService": None})], 0, 1),
        ([connection(kubernetes={"sourcePod": {"name": "cart-1"}, "destinationService": {"uid": "other"}})], 0, 1),
    ],
)
def test_connections_compared_count_found_and_wrong(seen: list[dict[str, object]], found: int, wrong: int) -> None:
    """An edge is found only with the true counts and owner; everything else that is shown is wrong."""
    got = compare.compare_edges([TRUTH], seen, {"cart-1": "cart"}, {("Service", "ledger"): {"u"}})
    assert (got["foundEdges"], got["wrongEdges"]) == (found, wrong)


def test_edge_of_the_map_tells_what_the_accepting_end_saw() -> None:
    """The map's nodes are matched by the workload's name, whichever of its objects the map shows."""
    services = [{"id": "w", "name": "cart-1c42d"}, {"id": "s", "name": "ledger"}]
    edge = {"source": "w", "destination": "s", "port": "8443", "accepted": 3, "bothEnds": True}
    got = compare.accepting_ends({"services": services, "edges": [edge]}, {"cart-1c42d": "cart"})
    assert got == {("cart", "ledger", "8443"): {"accepted": 3, "bothEnds": True}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "reason=bcc_missing error=\"cannot import bcc (no 'BPF')\" event=tracer_unavailable level=warning",
            "cannot import bcc (no 'BPF')",
        ),
        ("error=killed event=tracer_unavailable", "error=killed event=tracer_unavailable"),
        ("event=tracing tracer=bcc:tracepoint", None),
    ],
)
def test_agent_without_a_tracer_is_reported_with_its_reason(tmp_path: Path, line: str, reason: str | None) -> None:
    """The reason in the agent's log, the whole line if it has another shape, nothing if it traced."""
    (tmp_path / "agent.log").write_text(f"event=started\n{line}\n")
    assert why_untraced(tmp_path / "agent.log") == reason


def test_demo_on_a_busy_port_reports_it_in_one_sentence(repository: Path) -> None:
    """A port on which another program listens is a usage error that names it, before anything starts."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = subprocess.run((*COMMAND, "--port", port), capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 2
    assert done.stderr.startswith(f"podsonar: --port {port}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.kernel
def test_demo_run_finds_every_edge_and_leaves_nothing(repository: Path) -> None:
    """Every true edge, no wrong one, every connect seen, none lost; no namespace or cgroup of the run is left."""
    with subprocess.Popen([*COMMAND, "--port", "8791"], stdout=subprocess.PIPE, cwd=repository) as process:
        stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    document = orjson.loads(stdout)
    assert document["tracer"].startswith("bcc:")
    assert document["foundEdges"] == document["trueEdges"] >= 12
    assert document["wrongEdges"] == 0
    assert document["attempts"]["seen"] == document["attempts"]["made"]
    assert document["attempts"]["lost"] == 0
    assert not list(network.NAMESPACE_FOLDER.glob(f"podsonar-{process.pid}-*"))
    assert f"podsonar-{process.pid}" not in cgroups.runs_with_cgroups("podsonar")


def test_ctrl_c_ends_the_demo_with_the_exit_code_of_that_signal() -> None:
    """Interrupted while it works: it removes what it created, and the exit code is 130."""
    (port,) = free_ports(1)
    command = [*COMMAND[:4], "--json", "--seconds", "60", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=30)
    assert (running.returncode, said) == (130, b"")
