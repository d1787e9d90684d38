"""`python -m tests.faults.reliability`: docs/reliability.md, which test shows each of the 64 faults.

The name of a test has its rows: `test_row_07_…`, `test_rows_42_43_…`.
"""

import ast
import re
import sys
from pathlib import Path

from tests.faults.rows import ROWS

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"test_rows?_((?:\d\d_)+)")
BOTH = {"manager", "process", "running", "standing", "database", "store", "limited", "both", "server", "kind"}
HEAD = """# What each part withstands

Made by `python -m tests.faults.reliability` from the names of the tests; change those instead. Each test runs the real
program, or the real component where no program is needed, against the real fault: sockets, files, signals, databases,
kernels. *both*: on SQLite and on PostgreSQL. Faults of an installation are in [faults](faults.md).

| # | fault | answer | shown by | databases |
|---|---|---|---|---|
"""


def rows_of(name: str) -> list[int]:
    """The rows in a test's name."""
    match = NAMED.match(name)
    return [int(number) for number in match[1].rstrip("_").split("_")] if match else []


def shown_by_row(root: Path) -> dict[int, list[tuple[str, bool]]]:
    """`file::test`, and whether it runs on both databases, by row."""
    found: dict[int, list[tuple[str, bool]]] = {}
    for file in sorted(root.rglob("test_*.py")):
        text = file.read_text()
        if "test_row" not in text:
            continue
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef):
                both = bool(BOTH & {argument.arg for argument in function.args.args})
                for row in rows_of(function.name):
                    found.setdefault(row, []).append((f"{file.relative_to(root.parent)}::{function.name}", both))
    return found


def page(repository: Path) -> str:
    """The whole page; a row without a test has an empty column."""
    tests = shown_by_row(repository / "tests")
    lines = []
    for number, (fault, answer) in ROWS.items():
        shown = tests.get(number, [])
        names = "<br>".join(f"`{name}`" for name, _ in shown)
        databases = "both" if any(both for _, both in shown) else "-"
        lines.append(f"| {number} | {fault} | {answer} | {names} | {databases} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(REPOSITORY))
