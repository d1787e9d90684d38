"""`podsonar linux`: hosts that experiments run on, and their tasks, through the manager's API."""

import functools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import orjson
import yaml

from cli.manager_api import ManagerApi, manager_options
from podsonar.errors import InputError, PodsonarError, UsageError
from podsonar.logs_and_probes import escape

PREFIX = "/v1/chaos/linux"
POLL_SECONDS = 2.0
OVER = ("Completed", "Completed_With_Probe_Failure", "Error", "Stopped", "Timeout")
NAME_OF_TASK = re.compile(r"(.+?)-\d{10}-.+")


def tenant_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: adds the options that name a tenant."""
    for name, text in (
        ("environment", "Environment of the infrastructure."),
        ("project", "Project of the infrastructure."),
        ("organization", "Organization of the infrastructure."),
        ("account", "Account of the infrastructure."),
    ):
        default = "default" if name == "account" else ""
        function = click.option(
            f"--{name}", default=default, show_default=True, envvar=f"PODSONAR_{name.upper()}", help=text
        )(function)
    return function


class TenantApi:
    """The manager's API for one tenant."""

    def __init__(self, api: ManagerApi | None, tenant: dict[str, str]) -> None:
        if api is None:
            raise UsageError("expected --manager URL and --key-file FILE")
        self.api = api
        self.query = {f"{name}Identifier": value for name, value in tenant.items() if value}

    def ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """The JSON of an answer."""
        content = orjson.dumps(body) if body is not None else b""
        found = self.api.request(method, PREFIX + path, params=self.query, content=content)
        return orjson.loads(found.content)


def linux_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: passes `linux`, the API of the tenant that the options name."""

    @functools.wraps(function)
    def wrapper(api: ManagerApi | None, **given: Any) -> Any:  # noqa: ANN401 - click's own
        tenant = {name: given.pop(name) for name in ("account", "organization", "project", "environment")}
        return function(linux=TenantApi(api, tenant), **given)

    return manager_options(tenant_options(wrapper))


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
    click.echo(f"infrastructure {made['infraID']}", err=True)
    click.echo(made["accessKey"])


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
    click.echo(linux.ask("POST", f"/infras/{name}/token")["accessKey"])


@infra.command()
@linux_options
@click.argument("name")
def remove(name: str, linux: TenantApi) -> None:
    """Remove a host: its access key opens nothing from now on."""
    linux.ask("DELETE", f"/infras/{name}")
    click.echo(f"infrastructure {escape(name)} is removed", err=True)


def read_task(path: Path) -> tuple[str, dict[str, Any]]:
    """The experiment's name and the action of a task file: YAML or JSON, also the document's own `taskList`."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"task file {str(path)!r}: {error.strerror}; expected a readable file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InputError(f"task file {str(path)!r} is neither YAML nor JSON") from None
    if isinstance(found, dict) and isinstance(found.get("taskList"), list) and found["taskList"]:
        found = found["taskList"][0]
    if not isinstance(found, dict) or not isinstance(found.get("action"), dict):
        raise InputError(f"task file {str(path)!r}: expected a mapping with name and action")
    named = NAME_OF_TASK.fullmatch(str(found.get("taskName", "")))
    return str(found.get("name") or (named[1] if named else path.stem)), found["action"]


@linux.command()
@linux_options
@click.argument("taskfile", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--infra", "host", required=True, help="The host: its name or id.")
@click.option("--watch", is_flag=True, help="Wait for the result, and print it; exit 1 unless its verdict is Pass.")
def run(taskfile: Path, host: str, watch: bool, linux: TenantApi) -> None:
    """Make a task of TASKFILE for a host, and print its name."""
    name, action = read_task(taskfile)
    made = linux.ask("POST", "/tasks", {"infra": host, "name": name, "action": action})
    click.echo(made["taskName"], err=watch)
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
    linux.ask("POST", f"/tasks/{task}/stop", {"reason": reason})
    click.echo(f"stop of {escape(task)} is asked for", err=True)
