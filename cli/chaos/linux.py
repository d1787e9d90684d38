"""`podsonar linux`: hosts that experiments run on, and their tasks, through the manager's API."""

import re
import time
from pathlib import Path
from typing import Any

import click
import orjson

from cli.chaos.tenant_api import TenantApi, tenant_options
from cli.chaos.yaml_file import FILE, read_yaml
from podsonar.errors import InputError, PodsonarError
from podsonar.logs_and_probes import escape
from podsonar.manager_paths import HOSTS

POLL_SECONDS = 2.0
OVER = ("Completed", "Completed_With_Probe_Failure", "Error", "Stopped", "Timeout")
NAME_OF_TASK = re.compile(r"(.+?)-\d{10}-.+")

linux_options = tenant_options("linux", HOSTS)


@click.group()
def linux() -> None:
    """Hosts that experiments run on, and their tasks."""


@linux.group()
def infra() -> None:
    """Register, list and remove hosts."""


@infra.command("add")
@linux_options
@click.argument("name")
def add(name: str, linux: TenantApi) -> None:
    """Register a host and print its first access key, this once."""
    made = linux.ask("POST", "/infras", {"name": name})
    click.echo(escape(f"infrastructure {made['infraID']}"), err=True)
    click.echo(escape(made["accessKey"]))


@infra.command("list")
@linux_options
def list_infras(linux: TenantApi) -> None:
    """Show the hosts."""
    for one in linux.ask("GET", "/infras")["items"]:
        state = "active" if one["isActive"] else "silent" if one["confirmedAt"] else "not confirmed"
        words = (one["infraID"], one["name"], one["hostname"] or "-", one["version"] or "-", state)
        click.echo(escape("  ".join(words)))


@infra.command()
@linux_options
@click.argument("name")
def token(name: str, linux: TenantApi) -> None:
    """Print a new access key for a host. Its earlier keys are void; another machine may take over."""
    click.echo(escape(linux.ask("POST", f"/infras/{name}/token")["accessKey"]))


@infra.command()
@linux_options
@click.argument("name")
def remove(name: str, linux: TenantApi) -> None:
    """Remove a host: its access key opens nothing from now on."""
    removed = linux.ask("DELETE", f"/infras/{name}")["infraID"]
    click.echo(escape(f"infrastructure {name} is removed: {removed}"), err=True)


def read_task(path: Path) -> tuple[str, dict[str, Any]]:
    """The experiment's name and the action of a task file: YAML or JSON, also the document's own `taskList`."""
    found = read_yaml(path, "task file", "YAML or JSON of a task")
    if isinstance(found, dict) and isinstance(found.get("taskList"), list) and found["taskList"]:
        found = found["taskList"][0]
    if not isinstance(found, dict) or not isinstance(found.get("action"), dict):
        raise InputError(f"task file {str(path)!r}: expected a mapping with name and action")
    named = NAME_OF_TASK.fullmatch(str(found.get("taskName", "")))
    return str(found.get("name") or (named[1] if named else path.stem)), found["action"]


@linux.command()
@linux_options
@click.argument("taskfile", type=FILE)
@click.option("--infra", "host", required=True, help="The host: its name or id.")
@click.option("--watch", is_flag=True, help="Wait for the result, and print it; exit 1 unless its verdict is Pass.")
def run(taskfile: Path, host: str, watch: bool, linux: TenantApi) -> None:
    """Make a task of TASKFILE for a host, and print its name."""
    name, action = read_task(taskfile)
    made = linux.ask("POST", "/tasks", {"infra": host, "name": name, "action": action})
    click.echo(escape(made["taskName"]), err=watch)
    if not watch:
        return
    while True:
        task = linux.ask("GET", f"/tasks/{made['taskName']}")
        if task["status"] in OVER:
            break
        time.sleep(POLL_SECONDS)
    click.echo(orjson.dumps(task, option=orjson.OPT_INDENT_2).decode())
    verdict = (task["result"] or {}).get("result", {}).get("verdict")
    if verdict != "Pass":
        raise PodsonarError(f"task {made['taskName']}: {task['status']}, verdict {verdict or 'none'}")


@linux.command("tasks")
@linux_options
def list_tasks(linux: TenantApi) -> None:
    """Show the newest tasks."""
    for one in linux.ask("GET", "/tasks")["items"]:
        click.echo(escape("  ".join((one["createdAt"], one["taskName"], one["status"], one["message"])).rstrip()))


@linux.command()
@linux_options
@click.argument("task")
@click.option("--reason", default="", help="Why, for the record.")
def stop(task: str, reason: str, linux: TenantApi) -> None:
    """Ask for a stop of a task. It is over when its agent has released the fault."""
    asked = linux.ask("POST", f"/tasks/{task}/stop", {"reason": reason})["taskName"]
    click.echo(escape(f"stop of {asked} is asked for"), err=True)
