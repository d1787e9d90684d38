"""Requests that nobody here wrote: schemathesis makes them from the document, and judges the answers by it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from manager.schema.document import FILE
from tests.manager.api.operations import Caller, identifiers, map_request, standing_shop
from tests.manager.conftest import Running

EXAMPLES = os.environ.get("PODSONAR_FUZZ_EXAMPLES", "2")
PHASES = os.environ.get("PODSONAR_FUZZ_PHASES", "fuzzing")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"


STEPS = os.environ.get("PODSONAR_FUZZ_STEPS", "12")
ROOT = Path(__file__).resolve().parents[3]
LINKS = re.compile(r"API Links: +([0-9]+) covered / ([0-9]+) selected")
OF_AGENTS = (
    *("createAgent", "getAgent", "updateAgent", "deleteAgent"),
    *("getAgentToken", "listInstallation", "getInfrastructureForAgent"),
)


def parameters(caller: Caller, *, paths: bool) -> str:
    """The configuration that gives every parameter of something that is there its value."""
    given = {f"query.{name}": value for name, value in identifiers(caller.tenant).items()}
    kept = caller.path if paths else {name: value for name, value in caller.path.items() if name == "agentIdentity"}
    given |= {f"path.{name}": value for name, value in kept.items()}
    return "[parameters]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in given.items())


def run(caller: Caller, folder: Path, *arguments: str, paths: bool = False, **environ: str) -> str:
    """Let schemathesis ask the caller's manager, and fail with its report if an answer is not the document's."""
    (folder / "schemathesis.toml").write_text(parameters(caller, paths=paths))
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(FILE), "--url", caller.url]
    command += ["--header", f"X-API-Key: {caller.key}", "--checks", CHECKS, "--workers", "1", *arguments]
    command += ["--suppress-health-check", "all", "--continue-on-failure", "--seed", "1"]
    environment = os.environ | environ
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
    with (folder / "report.txt").open("a") as report:
        report.write(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    return str(ran.stdout)


def standing(running: Running) -> Caller:
    """A caller for an agent with a map and an installation."""
    caller = standing_shop(running)
    caller.good("createNetworkMap", map_request(caller, "checkout", "cart", "db"))
    caller.path["installationID"] = caller.good("listInstallation")["items"][0]["id"]
    return caller


@pytest.mark.long
def test_fuzzed_requests_get_answers_of_the_document(running: Running, tmp_path: Path) -> None:
    """No 5xx, no other status, media type or schema than the document has, and nothing without a key.

    The agent is deleted last: without it every other operation would be answered with 404.
    """
    caller = standing(running)
    few = ("--max-examples", EXAMPLES)
    run(caller, tmp_path, *few, "--phases", PHASES, "--exclude-operation-id", "deleteAgent", paths=True)
    run(caller, tmp_path, *few, "--phases", "fuzzing", "--include-operation-id", "deleteAgent", paths=True)
    assert caller.call("getAgent").status_code == 404


@pytest.mark.long
@pytest.mark.parametrize("agents", [False, True])
def test_what_was_made_answers_by_the_documents_links(running: Running, tmp_path: Path, agents: bool) -> None:
    """Maps, installations and services of a standing agent; and agents, which are made and deleted."""
    caller = standing(running)
    caller.path = {} if agents else caller.path
    way = "--include-operation-id" if agents else "--exclude-operation-id"
    chosen = [word for name in OF_AGENTS for word in (way, name)]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.manager.api.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    steps = ("--phases", "stateful", "--mode", "positive", "--max-examples", STEPS)
    said = run(caller, tmp_path, *steps, *chosen, **hooks)
    found = LINKS.search(said)
    assert found is not None, said
    covered, selected = int(found[1]), int(found[2])
    print(f"{covered} of {selected} links")  # noqa: T201
    assert covered * 2 >= selected
