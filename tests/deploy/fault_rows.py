"""`python -m tests.deploy.fault_rows`: docs/faults.md, which test shows each row of docs/troubleshooting.md.

A test names its rows in the first line of its docstring: `(row 7)`, `(rows 15 and 17)`, `(rows 1 to 5, 12)`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"\(rows? ([0-9, toand]+)\)")
ROW = re.compile(r"^\| (\d+) \| (.+?) \|", re.MULTILINE)
HEAD = """# What shows that each fault ends as it should

Made by `python -m tests.deploy.fault_rows` from the tests' own words; change those instead. The numbers are the rows of
[troubleshooting](troubleshooting.md). Tests in `tests/installed` run on a real cluster of two nodes with the chart
installed, those in `tests/deploy` on what helm renders and on a real API server, the others on the real component.

| # | fault | test |
|---|---|---|
"""


def numbers(text: str) -> Iterator[int]:
    """The rows in words such as `1 to 5, 12 and 13`."""
    for part in re.split(r",| and ", text):
        first, _, last = part.partition(" to ")
        yield from range(int(first), int(last or first) + 1)


def tests_of_rows(root: Path) -> dict[int, list[str]]:
    """`file::test` of every test, by the rows that its docstring names."""
    found: dict[int, list[str]] = {}
    for file in sorted(root.rglob("test_*.py")):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
                continue
            for named in NAMED.findall(ast.get_docstring(function) or ""):
                for number in numbers(named):
                    found.setdefault(number, []).append(f"{file.relative_to(root.parent)}::{function.name}")
    return found


def page(repository: Path) -> str:
    """The whole page; a row without a test has an empty last column."""
    tests = tests_of_rows(repository / "tests")
    faults = {int(number): text for number, text in ROW.findall((repository / "docs/troubleshooting.md").read_text())}
    lines = [
        f"| {number} | {text} | {'<br>'.join(f'`{one}`' for one in tests.get(number, []))} |"
        for number, text in sorted(faults.items())
    ]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(REPOSITORY))
