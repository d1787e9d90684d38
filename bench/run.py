"""Runs every measurement of bench/: `make bench`, or `make bench ARGS='--only replay --record'`.

    python bench/run.py [--only WORD,...] [--small] [--record]

Prints each table, with every budget marked met or NOT met. `--record` writes the tables into docs/benchmarks.md. Exit 1
if a budget is not met or a measurement failed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.report import REPOSITORY, machine, machine_line, progress

PAGE = REPOSITORY / "docs" / "benchmarks.md"
BEGIN, END = "<!-- recorded by make bench ARGS=--record -->", "<!-- end of what was recorded -->"
# A table with its heading, which may say more about how it was got.
RECORDED = re.compile(r"^(`bench/(\w+)\.py`[^\n]*)\n\n```\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
# The measurements of the collector's side have no --small.
SCRIPTS = {
    "tracing_overhead": ("--small",),
    "short_lived": ("--small",),
    "open_sockets": ("--small",),
    "volume": ("--small",),
    "agent_footprint": ("--small",),
    "replay": ("--small",),
    "manager": ("--small",),
    "logs": ("--small",),
    "history": ("--small",),
    "page": ("--small",),
    "layouts": ("--small",),
    "redaction": ("--small",),
    "listing": ("--pods", "1000", "--nodes", "40", "--services", "40", "--rounds", "1"),
    "directory_scale": ("--rounds", "11"),
}


def measure(name: str, options: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and table of one measurement; its progress goes to stderr."""
    progress(f"bench: {name}")
    script = REPOSITORY / "bench" / f"{name}.py"
    done = subprocess.run(
        [sys.executable, script, *options], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False
    )
    print(f"\n{done.stdout}", end="", flush=True)
    return done.returncode, done.stdout


def record(tables: dict[str, str]) -> None:
    """Replace the recorded tables of these measurements on the page; the others stay."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    recorded, _, after = rest.partition(END)
    kept = {name: (heading, table) for heading, name, table in RECORDED.findall(recorded)}
    if len(kept) != len(re.findall(r"^`bench/", recorded, re.MULTILINE)):
        raise SystemExit(f"bench: {PAGE.name} has a heading that is not `bench/NAME.py` …, so nothing is recorded")
    kept |= {name: (f"`bench/{name}.py`", table.rstrip()) for name, table in tables.items()}
    blocks = "\n".join("{}\n\n```\n{}\n```\n".format(*kept[name]) for name in SCRIPTS if name in kept)
    PAGE.write_text(f"{before}{BEGIN}\n\nMeasured on: {machine_line(machine())}.\n\n{blocks}\n{END}{after}")


def main() -> int:
    """Run the chosen measurements; return 1 if one missed a budget or failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only those whose name contains one of these words")
    parser.add_argument("--small", action="store_true", help="as little of everything as shows that it works")
    parser.add_argument("--record", action="store_true", help="put the tables into docs/benchmarks.md")
    given = parser.parse_args()
    names = [name for name in SCRIPTS if any(word in name for word in given.only.split(","))]
    present = [name for name in names if (REPOSITORY / "bench" / f"{name}.py").exists()]
    codes, tables = {}, {}
    for name in present:
        codes[name], tables[name] = measure(name, SCRIPTS[name] if given.small else ())
    if given.record:
        record(tables)
        progress(f"bench: recorded in {PAGE.relative_to(REPOSITORY)}")
    missed = [name for name, code in codes.items() if code]
    print(f"\nbench: every budget met in {len(codes) - len(missed)} of {len(codes)} measurements", flush=True)
    if missed:
        print(f"bench: NOT met, or failed: {', '.join(missed)}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
