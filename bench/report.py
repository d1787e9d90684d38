"""Table and JSON of a measurement, with a verdict per budget."""

import argparse
import json
import os
import platform
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what, value, the budget in words and whether it is met (None: there is no budget)."""

    what: str
    value: str
    budget: str = ""
    met: bool | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The budget with its verdict."""
        if self.met is None:
            return self.budget
        return f"{self.budget}: {'met' if self.met else 'NOT met'}"


def machine() -> dict[str, Any]:
    """The machine and the date of the measurement."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cpus": os.cpu_count(),
        "memoryGiB": round(memory / (1 << 30)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "load": round(os.getloadavg()[0], 1),
    }


def machine_line(about: dict[str, Any]) -> str:
    """The machine in one line."""
    return "{cpu}, {cpus} CPUs, {memoryGiB} GiB, Linux {kernel}, Python {python}, {date}, load {load}".format(**about)


def table(title: str, rows: list[Row], about: dict[str, Any]) -> str:
    """The table as text."""
    first = max(len(row.what) for row in rows) + 2
    second = max(len(row.value) for row in rows) + 2
    lines = [f"{row.what:{first}}{row.value:{second}}{row.verdict}".rstrip() for row in rows]
    return "\n".join([f"{title}  ({machine_line(about)})", *lines])


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every measurement has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--json", type=Path, help="write the figures into this file")
    made.add_argument("--small", action="store_true", help="as little of everything as shows that it works")
    return made


def finish(title: str, rows: list[Row], to: Path | None, about: dict[str, Any]) -> int:
    """Print the table and write the JSON; return 1 if a budget is not met."""
    print(table(title, rows, about), flush=True)
    if to:
        to.write_text(json.dumps({"title": title, "machine": about, "rows": [asdict(row) for row in rows]}) + "\n")
    return 1 if any(row.met is False for row in rows) else 0


def progress(text: str) -> None:
    """Print a line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)


def raise_priority() -> None:
    """Run this process and its children before others; make SIGTERM clean up like Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except PermissionError:
        progress("bench: not root, so other programs of this machine disturb the figures")
