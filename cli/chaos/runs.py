"""`podsonar chaos run | runs | stop | report`: runs of experiments, through the manager's API."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from chaos.control.experiments.runs.manifest import read_manifest
from cli.chaos.runner_site import STDOUT, check_delegated, check_own, runner_site, write_manifests
from cli.chaos.tenant_api import TenantApi, tenant_options
from cli.chaos.yaml_file import FILE, read_yaml
from podsonar.errors import InputError, UsageError
from podsonar.logs_and_probes import escape
from podsonar.manager_paths import RUNS

POLL_SECONDS = 2.0

runs_options = tenant_options("runs", RUNS)


def read_order(path: Path, infra: str) -> dict[str, Any]:
    """The order of a file: `{infraID, experiment, weights}`, or an experiment; InputError says what is missing."""
    document = read_yaml(path, "experiment file", "YAML of an experiment")
    if not isinstance(document, dict):
        raise InputError(f"experiment file {str(path)!r} is no mapping: expected an experiment")
    order = document if "experiment" in document else {"experiment": document}
    if infra:
        order = order | {"infraID": infra}
    if not order.get("infraID"):
        raise UsageError("expected --infra NAME, or infraID in the file")
    read_manifest(order["experiment"])
    return order


@click.command("run")
@runs_options
@click.option("--infra", default="", help="The infrastructure; else the file's infraID.")
@click.option("--watch", is_flag=True, help="Wait for the end. Exit 0: Completed, 4: N/A, 1: anything else.")
@click.option("--delegate", default="", metavar="NAME", help="Who brings the runner; else who installed the agent.")
@click.option("--manifests", metavar="FILE|-", help="Write the runner's manifests, with its key, for `kubectl apply`.")
@click.option("--image", default="", show_default="this version's collector", help="The runner's image.")
@click.option("--runner-manager", default="", metavar="URL", help="The manager as pods reach it; else as --manager.")
@click.option("--runner-ca-file", default="", metavar="FILE", help="The authority of that manager, in PEM.")
@click.option("--directory", default="", metavar="URL", help="The collector as pods reach it, for spec.windows.")
@click.option("--directory-token-file", default="", metavar="FILE", help="The agents' token, for --directory.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.argument("file", type=FILE)
def run_command(
    runs: TenantApi,
    infra: str,
    watch: bool,
    delegate: str,
    manifests: str | None,
    as_json: bool,
    file: Path,
    **place: str,
) -> None:
    """Order a run of the experiment in FILE. Exit 3 if a guard refuses it."""
    order = read_order(file, infra) | ({"delegate": delegate} if delegate else {})
    if manifests is None:
        check_delegated(order, place)
    else:
        printed = [name for name, is_given in (("--watch", watch), ("--json", as_json)) if is_given]
        check_own(order, runs, manifests, place, printed)
    site = runner_site(runs, place)
    if manifests is None:
        order |= {"authority": site.authority} if site.authority else {}
    else:
        order |= {"ownRunner": True}
    made = runs.ask("POST", body=order)
    if made.get("refused"):
        for sentence in made["refused"]:
            click.echo(escape(f"guard refuses: {sentence}"), err=True)
        click.echo(escape(f"run {made['runID']} is blocked: nothing is injected"), err=True)
        sys.exit(3)
    if manifests is not None:
        write_manifests(runs, order, made, site, manifests)
    by = ", and nobody brings its runner: expected --delegate NAME, or --manifests FILE"
    if manifests is not None:
        by = ""
    elif "delegateTaskID" in made:
        by = f", its runner by the delegate's task {made['delegateTaskID']}"
    click.echo(escape(f"run {made['runID']} is ordered{by}"), err=True)
    if not watch:
        if manifests != STDOUT:
            click.echo(escape(made["runID"]) if not as_json else orjson.dumps({"runID": made["runID"]}).decode())
        return
    data = watch_run(runs, made["runID"])
    show(data, as_json)
    sys.exit(exit_status(data))


def exit_status(data: dict[str, Any]) -> int:
    """The exit status of a run that has completed: 0 if all passed, 4 if some is N/A and none failed, else 1."""
    if data["phase"] in {"Completed", "Completed_With_Probe_Failure"} and data["faultsNA"] and not data["faultsFailed"]:
        return 4
    return 0 if data["phase"] == "Completed" else 1


def watch_run(runs: TenantApi, run_id: str) -> dict[str, Any]:
    """The run once it has completed; each change of a step is a line on stderr."""
    known: dict[str, str] = {}
    while True:
        data: dict[str, Any] = runs.ask("GET", f"/{run_id}")["data"]
        for name, phase, message in steps_of(data):
            if known.get(name) != phase:
                known[name] = phase
                click.echo(escape(f"{name}: {phase}{f': {message}' if message else ''}"), err=True)
        if data["completed"]:
            return data
        time.sleep(POLL_SECONDS)


def steps_of(data: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, phase and message of every step."""
    for node in data["executionData"]["nodes"].values():
        if node["type"] == "K8sTask":
            yield node["name"], node["phase"], node["message"]


def streams_of(data: dict[str, Any]) -> Iterator[str]:
    """The keys of the steps' log streams."""
    for node in data["executionData"]["nodes"].values():
        if node["type"] == "K8sTask" and node["chaosData"]["streamID"]:
            yield node["chaosData"]["streamID"]


def show(data: dict[str, Any], as_json: bool) -> None:
    """Print a run."""
    if as_json:
        click.echo(orjson.dumps(data, option=orjson.OPT_INDENT_2).decode())
        return
    counts = (
        f"{data['faultsPassed']} passed, {data['faultsFailed']} failed, {data['faultsStopped']} stopped, "
        f"{data['faultsNA']} not available"
    )
    click.echo(escape(f"{data['experimentName']} {data['experimentRunID']}: {data['phase']}"))
    if data["completed"]:
        click.echo(escape(f"score {data['resiliencyScore']} %: {counts}"))
    if data.get("stopRequested"):
        click.echo(escape(data["executionData"]["message"]))
    for name, phase, message in steps_of(data):
        click.echo(escape(f"  {name}: {phase}{f': {message}' if message else ''}"))
    account = f" --account {data['accountID']}" if data["accountID"] else ""
    for key in streams_of(data):
        click.echo(escape(f"log: podsonar logs {key}{account}"))
    if data["errorResponse"]:
        click.echo(escape(data["errorResponse"]))


@click.command("runs")
@runs_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(runs: TenantApi, as_json: bool) -> None:
    """List the newest runs."""
    items = runs.ask("GET")["items"]
    if as_json:
        click.echo(orjson.dumps(items).decode())
        return
    for one in items:
        click.echo(escape(f"{one['runID']}  {one['createdAt']}  {one['phase']:28}  {one['name']}"))


@click.command("stop")
@runs_options
@click.option("--reason", default="", help="What the run's history says.")
@click.argument("run_id")
def stop_command(runs: TenantApi, reason: str, run_id: str) -> None:
    """Ask a run to stop. It is stopped when the run says so, at its deadline at the latest."""
    click.echo(escape(runs.ask("POST", f"/{run_id}/stop", {"reason": reason})["message"]), err=True)


@click.command("report")
@runs_options
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.argument("run_id")
def report_command(runs: TenantApi, as_json: bool, run_id: str) -> None:
    """Show a run: phase, score, and what each step did."""
    show(runs.ask("GET", f"/{run_id}")["data"], as_json)
