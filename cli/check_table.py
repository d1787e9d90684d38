"""What a preflight found: a table for people, one JSON document for programs, exit code 3 where something failed."""

from collections.abc import Sequence
from typing import Protocol

import click
import orjson
from rich.console import Console
from rich.table import Table

from podsonar.errors import PreflightError
from podsonar.logs_and_probes import escape

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Check(Protocol):
    """One line: what was checked, `ok`, `warn` or `fail`, what was found, and what to do about it."""

    @property
    def name(self) -> str:
        """What was checked."""

    @property
    def state(self) -> str:
        """`ok`, `warn` or `fail`."""

    @property
    def found(self) -> str:
        """What was found."""

    @property
    def todo(self) -> str:
        """What to do; empty where nothing is."""


def show_checks(lines: Sequence[Check], *, as_json: bool) -> None:
    """Print the lines; PreflightError where one failed."""
    failed = [line.name for line in lines if line.state == "fail"]
    if as_json:
        checks = [{name: getattr(line, name) for name in ("name", "state", "found", "todo")} for line in lines]
        body = {"ok": not failed, "checks": checks}
        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
    else:
        table = Table("check", "", "found", "what to do", box=None, pad_edge=False)
        for line in lines:
            state = f"[{COLOURS[line.state]}]{line.state}[/]"
            table.add_row(line.name, state, *(escape(text).replace("[", "\\[") for text in (line.found, line.todo)))
        Console(width=None if Console().is_terminal else 160).print(table)
    if failed:
        raise PreflightError(f"preflight: {len(failed)} of {len(lines)} checks failed: {', '.join(failed)}")
