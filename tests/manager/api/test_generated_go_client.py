"""A Go client that oapi-codegen makes from the official document works against a running manager, unchanged."""

import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.manager.api.go_program import go_client
from tests.manager.api.operations import OPERATIONS, make_key, push_shop, success
from tests.manager.conftest import Running

pytestmark = [pytest.mark.go, pytest.mark.long]


@pytest.fixture(scope="module")
def client() -> Path:
    """The built client."""
    return go_client()


def not_as_answered(held: Any, answered: Any, place: str = "") -> list[str]:
    """Where what a client holds is not in the answer; null, which Go writes for what is not there, is nothing."""
    if isinstance(held, dict) and isinstance(answered, dict):
        return [
            difference
            for name, value in held.items()
            if value is not None
            for difference in not_as_answered(value, answered.get(name), f"{place}.{name}")
        ]
    if isinstance(held, list) and isinstance(answered, list) and len(held) == len(answered):
        pairs = enumerate(zip(held, answered, strict=True))
        return [difference for index, pair in pairs for difference in not_as_answered(*pair, f"{place}[{index}]")]
    return [] if held == answered and type(held) is type(answered) else [f"{place}: {held!r}, answered {answered!r}"]


def use(client: Path, running: Running, header: str, value: str) -> dict[str, list[dict[str, Any]]]:
    """What the client printed, by operation; the shop is pushed as its agent as soon as it has a token."""
    printed = defaultdict(list)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environ = {"PATH": os.environ["PATH"], "HEADER_VALUE": value}
    with subprocess.Popen([client, running.url, header], text=True, env=environ, **pipes) as process:  # type: ignore[call-overload]
        try:
            for line in process.stdout:
                said = json.loads(line)
                printed[said["operation"]].append(said)
                if said["operation"] == "getAgentToken":
                    push_shop(running, said["typed"]["token"])
                    process.stdin.write("pushed\n")
                    process.stdin.flush()
            assert process.wait() == 0, process.stderr.read()
        finally:
            process.kill()
    return printed


@pytest.mark.timeout(900)  # the client is compiled once per machine
@pytest.mark.parametrize(("header", "scheme"), [("X-API-Key", ""), ("Authorization", "Bearer ")])
def test_every_operation_answers_a_go_client(running: Running, client: Path, header: str, scheme: str) -> None:
    """Its types hold every answer as it was sent: each required member is there, and each member has its type."""
    printed = use(client, running, header, scheme + make_key(running.database, "admin"))
    assert sorted(printed) == sorted(OPERATIONS)
    for name, answers in printed.items():
        for said in answers:
            assert (name, said["status"]) == (name, success(name)), said["body"]
            assert said["typed"] is not None, name
            assert not_as_answered(said["typed"], said["body"]) == [], name
    held = {name: answers[-1]["typed"] for name, answers in printed.items()}
    assert [one["identity"] for one in printed["listAgent"][0]["typed"]["items"]] == ["generated"]
    assert held["createAgent"]["installationDetails"]["delegateTaskStatus"] == "PROCESSED"
    assert held["getAgent"]["id"] == held["createAgent"]["id"] == held["updateAgent"]["id"]
    assert held["updateAgent"]["name"] == held["getInfrastructureForAgent"]["name"] == "renamed"
    assert held["getInstallation"]["id"] == held["createInstallation"]["id"]
    assert held["stopOngoingDiscovery"]["stopped"] is True
    assert {one["name"] for one in held["listDiscoveredService"]["items"]} == {"cart", "db", "frontend", "load"}
    edges = held["listDiscoveredServiceConnection"]["items"]
    assert ("frontend", "cart") in {(one["sourceName"], one["destinationName"]) for one in edges}
    drawn = held["createNetworkMap"]["connections"]
    assert ("frontend", "cart") in {(one["from"]["name"], one["to"]["name"]) for one in drawn}
    assert {one["identity"] for one in held["listNetworkMap"]["items"]} == {"network", "application", "grouped"}
    assert len(held["updateNetworkMap"]["resources"]) == 2
    assert held["listAgent"]["items"] == []
