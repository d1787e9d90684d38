"""`podsonar diff`: a release gate. Exit code 0 the same, 1 different, 3 not comparable."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from cli.manager_api import ManagerApi, ManagerApiError, manager_options
from cli.map.commands import ROW_FORMATS, needed, output_option, print_shape
from podsonar.errors import PodsonarError, UsageError
from podsonar.logs_and_probes import escape

KINDS = ("added", "removed", "failed", "recovered", "changed")
SAME, DIFFERENT, NOT_COMPARABLE = 0, 1, 3


class NotComparableError(PodsonarError):
    """One of the windows cannot be read, so that nothing can be said."""

    exit_code = NOT_COMPARABLE


def verdict(found: dict[str, Any], kinds: Sequence[str]) -> int:
    """The exit code: what is certain counts before what may be one of observation."""
    if found["notComparable"]:
        return NOT_COMPARABLE
    relevant = [one for one in found["changes"] if one["change"] in kinds]
    if any(not one["uncertain"] for one in relevant):
        return DIFFERENT
    return NOT_COMPARABLE if relevant else SAME


def parse_kinds(text: str) -> list[str]:
    """The changes that count; UsageError for an unknown one."""
    kinds = [one.strip() for one in text.split(",") if one.strip()]
    unknown = [one for one in kinds if one not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"--fail-on is {text!r}: expected some of {', '.join(KINDS)}, separated by commas")
    return kinds


@click.command()
@click.argument("before", required=False)
@click.argument("now", required=False)
@click.option("--baseline", help="The earlier window, by id or name, in place of the first argument.")
@click.option("--window", help="The later window, `latest` without it, in place of the second argument.")
@click.option("--fail-on", default=",".join(KINDS), show_default=True, help="Which changes count as different.")
@output_option(ROW_FORMATS)
@manager_options
def diff(
    before: str | None,
    now: str | None,
    baseline: str | None,
    window: str | None,
    fail_on: str,
    shape: str,
    api: ManagerApi | None,
) -> None:
    """Compare two windows. Exit code 0: the same, 1: different, 3: not comparable."""
    kinds = parse_kinds(fail_on)
    if (before and baseline) or (now and window):
        raise UsageError("a window is given twice: expected either BEFORE NOW or --baseline and --window")
    names = {"before": before or baseline or "previous", "now": now or window or "latest"}
    needed(api).exit_code = NOT_COMPARABLE
    path = needed(api).agent_path
    try:
        found = needed(api).get(f"{path}/diff", names)
    except ManagerApiError as error:
        raise NotComparableError(f"{names['before']} and {names['now']} cannot be compared: {error}") from error
    columns = ("change", "source", "destination", "port", "type", "before", "now", "uncertain")
    changes = [one for one in found["changes"] if one["change"] in kinds]
    rows: list[Sequence[object]] = [
        [*(one[name] for name in columns[:5]), *map(counts, (one["before"], one["now"])), "; ".join(one["uncertain"])]
        for one in changes
    ]
    red = {n for n, one in enumerate(changes) if not one["uncertain"]}
    print_shape(shape, found, columns, rows, red)
    for reason in found["notComparable"]:
        click.echo(escape(f"not comparable: {reason}"), err=True)
    certain = sum(not one["uncertain"] for one in changes)
    text = f"{found['before']} to {found['now']}: {certain} different, {len(changes) - certain} uncertain"
    click.echo(escape(text), err=True)
    sys.exit(verdict(found, kinds))


def counts(one: dict[str, Any] | None) -> str | None:
    """Attempts, and how many of them failed."""
    if one is None:
        return None
    return f"{one['attempts']}" + (f" ({one['failed']} failed)" if one["failed"] else "")
