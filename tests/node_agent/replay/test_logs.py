"""Logs in a replay: lines in every envelope, canonical addresses, what is left out, a body for each node."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.node_agent.replay.replayed import LINE, bodies_of, run
from tests.node_agent.stages import WEB


def replayed_log(folder: Path, content: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The bodies of a log, and what is printed of its lines."""
    (folder / "agent.log").write_bytes(content)
    result = run(folder / "agent.log")
    return bodies_of(result), result.stderr.splitlines()


@pytest.mark.parametrize(
    "written",
    [
        LINE,
        LINE + "\r",
        f"2026-11-24T10:00:00.000000001Z stderr F {LINE}",
        f"2026-11-24T10:00:00.123+02:00 stdout F {LINE}",
        f"2026-11-24T10:00:00.000000001Z {LINE}",
        f"[pod/podsonar-agent-x7k/agent] {LINE}",
        f"[pod/podsonar-agent-x7k/agent] 2026-11-24T10:00:00Z {LINE}",
        orjson.dumps({"log": LINE + "\n", "stream": "stderr", "time": "2026-11-24T10:00:00Z"}).decode(),
        orjson.dumps({"line": LINE, "event": "flow", "level": "debug"}).decode(),
        "2026-11-24T10:00:00.1Z stderr F " + orjson.dumps({"line": LINE, "event": "flow"}).decode(),
        orjson.dumps({"log": orjson.dumps({"line": LINE}).decode() + "\n"}).decode(),
        orjson.dumps({"MESSAGE": LINE, "_HOSTNAME": "node-a", "PRIORITY": "6"}).decode(),
        f"Nov 24 10:00:00 node-a podsonar[123]: {LINE}",
        f"Nov  4 10:00:00.123456 node-a podsonar[123]: {LINE}",
        f"2026-11-24T10:00:00+0000 node-a podsonar[123]: {LINE}",
        f"<30>1 2026-11-24T10:00:00Z node-a podsonar 123 - - {LINE}",
        f"agent-1  | {LINE}",
        f"\x1b[36magent-1  | \x1b[0m{LINE}",
        f"\ufeff{LINE}",
    ],
)
def test_line_in_every_envelope_is_its_connection(tmp_path: Path, written: str) -> None:
    """Runtimes, kubectl, docker, journald, the agent's own JSON log, and envelopes in envelopes."""
    (body,), left_out = replayed_log(tmp_path, written.encode() + b"\n")
    assert left_out == []
    (connection,) = body["connectionList"]
    assert (connection["sourceIP"], connection["destinationIP"]) == ("10.1.1.2", "10.1.1.3")
    assert (connection["destinationPort"], connection["kubernetes"]["sourcePod"]["uid"]) == ("8080", WEB)


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("fd00::2", "[fd00::3]:8080", ("fd00::2", "fd00::3", "8080")),
        ("fd00:0:0::2", "fd00:0::3:8080", ("fd00::2", "fd00::3", "8080")),
        ("::ffff:10.1.1.2", "::ffff:10.1.1.3:80", ("10.1.1.2", "10.1.1.3", "80")),
        ("[::FFFF:a01:102]", "[FD00::3]:0080", ("10.1.1.2", "fd00::3", "80")),
        ("10.1.1.2", "10.1.1.3:65535", ("10.1.1.2", "10.1.1.3", "65535")),
    ],
)
def test_addresses_are_canonical(tmp_path: Path, source: str, destination: str, expected: tuple[str, str, str]) -> None:
    """As `ipaddress` writes them: without brackets, and IPv4 where it was mapped."""
    line = LINE.replace("10.1.1.2", source).replace("10.1.1.3:8080", destination)
    (body,), _left_out = replayed_log(tmp_path, line.encode())
    (connection,) = body["connectionList"]
    assert (connection["sourceIP"], connection["destinationIP"], connection["destinationPort"]) == expected


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("8080", "99999999999999999999", "bad_port"),
        ("8080", "0", "bad_port"),
        ("8080", "65536", "bad_port"),
        ("10.1.1.3", "10.1.1.300", "bad_address"),
        ("10.1.1.2", "010.1.1.2", "bad_address"),
        ("10.1.1.2", "fe80::1%eth0", "bad_address"),
        ("10.1.1.2", "-", "bad_address"),
        (f"from pod {{{WEB}}}", "from pod {}", "no_source_pod"),
        (f"from pod {{{WEB}}}", "from pod { }", "no_source_pod"),
        ("svc {}", "svc {a b}", "bad_uid"),
        (WEB, "x" * 300, "bad_uid"),
        ("8080", "٨٠", "not_a_connection_line"),
    ],
)
def test_line_that_does_not_fit_is_named_and_counted(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """The line is printed with its reason, delivered is what is whole, and attempts add up."""
    (body,), left_out = replayed_log(tmp_path, f"{LINE}\n{LINE.replace(old, new)}\n".encode())
    assert [line.split(": ")[:2] for line in left_out] == [
        ["left out line 2", reason],
        ["left out of the log", f"1 {reason}"],
    ]
    invalid = {} if reason == "not_a_connection_line" else {reason: 1}
    assert body["observation"]["lost"] == invalid
    assert (body["observation"]["attempts"], body["observation"]["delivered"]) == (1 + len(invalid), 1)


def test_lines_that_are_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    """The counts come after the lines, one per reason."""
    bad_port, no_pod = LINE.replace("8080", "0"), LINE.replace(f"from pod {{{WEB}}}", "from pod {}")
    _bodies, left_out = replayed_log(tmp_path, f"{LINE}\n{no_pod}\n{bad_port}\n{no_pod}\n".encode())
    assert left_out[3:] == ["left out of the log: 1 bad_port", "left out of the log: 2 no_source_pod"]


def test_each_node_has_its_own_body(tmp_path: Path) -> None:
    """Logs behind each other, and logs whose lines alternate under kubectl's prefixes."""
    named = "pushed 1 connections for node name "
    behind = f"{LINE}\n{named}node-a\n{LINE}\n{LINE}\n{named}node-b\n"
    bodies, _left_out = replayed_log(tmp_path, behind.encode())
    assert [(body["nodeName"], len(body["connectionList"])) for body in bodies] == [("node-a", 1), ("node-b", 2)]
    turns = [f"[pod/a/agent] {LINE}", f"[pod/b/agent] {LINE}", f"[pod/b/agent] {LINE}"]
    turns += [f"[pod/b/agent] {named}node-b", f"[pod/a/agent] {named}node-a", f"[pod/a/agent] {LINE}"]
    bodies, _left_out = replayed_log(tmp_path, "\n".join(turns).encode())
    assert sorted((body["nodeName"], len(body["connectionList"])) for body in bodies) == [("node-a", 2), ("node-b", 2)]
