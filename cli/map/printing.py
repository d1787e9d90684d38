"""Rows for people: a table on a terminal, plain columns in a pipe."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from podsonar.errors import UsageError
from podsonar.logs_and_probes import escape

Row = Sequence[object]


def shown(value: object) -> str:
    """A value as text without control characters."""
    return "-" if value is None or value == "" else escape(str(value))


def is_number(text: str) -> bool:
    """Whether a cell is a whole number, or empty."""
    return text == "-" or text.lstrip("-").isdigit()


def print_rows(columns: Sequence[str], rows: Iterable[Row], *, red: Iterable[int] = ()) -> None:
    """Print rows; numbers of rows in `red` are what needs a look."""
    lines = [[shown(value) for value in row] for row in rows]
    numeric = [all(map(is_number, column)) for column in zip(*lines, strict=True)] or [False] * len(columns)
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False)
        for name, number in zip(columns, numeric, strict=True):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        marked = set(red)
        for place, line in enumerate(lines):
            table.add_row(*(Text(text, style="red" if place in marked else "") for text in line))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    for cells_of_line in (list(columns), *lines):
        cells = zip(cells_of_line, widths, numeric, strict=True)
        padded = (text.rjust(width) if number else text.ljust(width) for text, width, number in cells)
        click.echo("  ".join(padded).rstrip())


def write_output(output: Path | None, content: bytes) -> None:
    """Write to a file, or to stdout without one."""
    if output is None or str(output) == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--output {str(output)!r}: {error.strerror}; expected a file that can be written") from error
