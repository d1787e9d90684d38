"""`podsonar policy`: network policies from what was observed, and what given ones would have blocked of it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from cli.manager_api import PREFIX, ManagerApi, ManagerApiError, manager_options
from cli.map.commands import needed, output_option, print_shape
from cli.map.compare import NOT_COMPARABLE, NotComparableError
from cli.map.printing import write_output
from manager.policies.evaluate import Blocked, Evaluator
from manager.policies.generate import Per, generate_policies
from manager.policies.observed import Observed, merge_observed, read_observed
from manager.policies.policy_schema import Policy, read_policies
from manager.policies.policy_yaml import to_yaml
from podsonar.errors import InputError, UsageError

LEFT_OUT = {
    "source_pod_unknown": "source pods that are in no inventory: no policy covers them",
    "destination_unknown": "edges whose far end is in no inventory: no rule allows them",
}


def observed_in(api: ManagerApi, windows: Sequence[str]) -> Observed:
    """What the windows had together; NotComparableError if one cannot be read."""
    api.exit_code = NOT_COMPARABLE
    parts = []
    for window in windows:
        try:
            answer = api.request("GET", f"{PREFIX}{api.agent_path}/policyflows", params={"window": window})
        except ManagerApiError as error:
            raise NotComparableError(f"window {window}: {error}") from error
        parts.append(read_observed(answer.content))
    return merge_observed(parts)


def split_windows(given: Sequence[str]) -> list[str]:
    """The windows of repeated options and of lists with commas; the newest without any."""
    return [one for text in given for one in text.split(",") if one] or ["latest"]


def generated(api: ManagerApi, windows: Sequence[str], namespaces: Sequence[str] = (), per: Per = "workload") -> str:
    """The policies as YAML, of some namespaces or of all in which a pod connected or accepted."""
    observed = observed_in(api, windows)
    touched = {observed.pods[name].namespace for flow in observed.flows for name in flow.sources}
    touched |= {observed.pods[far].namespace for flow in observed.flows if flow.to_pods for far, _ in flow.destinations}
    wanted = list(namespaces) or sorted(touched)
    unknown = [one for one in wanted if one not in {pod.namespace for pod in observed.pods.values()}]
    if unknown:
        raise UsageError(f"--namespace {unknown[0]!r} has no pod in these windows; expected one of {sorted(touched)}")
    head = [
        f"Made by podsonar from the windows {', '.join(observed.windows)}.",
        "What was observed is allowed, no more.",
    ]
    head += [f"{number} {LEFT_OUT[reason]}" for reason, number in observed.left_out.items()]
    return to_yaml(generate_policies(observed, wanted, per), head)


@click.group()
def policy() -> None:
    """Network policies from observation."""


@policy.command()
@click.option("--windows", multiple=True, help="Ids or names, with commas or repeated; the newest without it.")
@click.option("--namespace", "namespaces", multiple=True, help="Of which namespaces; repeat it. All without it.")
@click.option(
    "--per", type=click.Choice(["workload", "namespace"]), default="workload", show_default=True, help="One for each."
)
@click.option("--output", type=click.Path(path_type=Path), help="File to write to; stdout without it.")
@manager_options
def generate(
    windows: tuple[str, ...], namespaces: tuple[str, ...], per: Per, output: Path | None, api: ManagerApi | None
) -> None:
    """Write policies that allow what was observed and deny all else."""
    write_output(output, generated(needed(api), split_windows(windows), namespaces, per).encode())


@policy.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--windows", multiple=True, help="Ids or names, with commas or repeated; the newest without it.")
@output_option(("table", "json", "csv"))
@manager_options
def check(files: tuple[Path, ...], windows: tuple[str, ...], shape: str, api: ManagerApi | None) -> None:
    """Show which observed connections FILES would have blocked. FILES are policies; exit code 1 if there is one."""
    policies = [one for file in files for one in policies_in(file)]
    observed = observed_in(needed(api), split_windows(windows))
    blocked = list(Evaluator(policies, observed).blocked())
    columns = ("direction", "source", "destination", "port", "protocol", "attempts", "edge", "policies")
    rows: list[Sequence[object]] = [blocked_row(one) for one in blocked]
    document = {
        "windows": observed.windows,
        "leftOut": observed.left_out,
        "blocked": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    print_shape(shape, orjson.loads(orjson.dumps(document)), columns, rows, set(range(len(rows))))
    connections = sum(len(flow.sources) * len(flow.destinations) for flow in observed.flows)
    click.echo(f"{len(blocked)} blocked, of {connections} connections between pods and addresses", err=True)
    for reason, number in observed.left_out.items():
        click.echo(f"not checked: {number} {LEFT_OUT[reason].partition(':')[0]}", err=True)
    sys.exit(1 if blocked else 0)


def policies_in(file: Path) -> list[Policy]:
    """The policies of a file; `-` is stdin."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"policy file {str(file)!r}: {error}; expected a readable file") from error
    return read_policies(text, str(file))


def blocked_row(one: Blocked) -> list[object]:
    """A blocked connection as a row."""
    flow = one.flow
    ends: list[object] = [one.direction, one.source, one.destination, one.port, flow.protocol]
    return [*ends, flow.attempts, flow.edge, " ".join(one.by)]
