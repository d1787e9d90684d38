"""Prediction against observation: real faults on two applications of simulated pods, predicted and judged by the map.

    python -m bench.predictions [--application shop|travel] [--small] [--json FILE]
    python -m bench.predictions --record FILE...

Each run takes a window without a fault, predicts from its map what a fault will touch, makes the fault, and compares
with the map of a second window. A run takes 16 seconds. Needs root, as the tracer does. Prints Markdown; `--record`
writes the runs of some files into docs/chaos.md. Exit 1 if a difference has no cause that was counted.
"""

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.predictions.planned import SHOP_FAULTS, TRAVEL_FAULTS
from bench.predictions.runs import compared, take_all
from bench.predictions.site import Site
from bench.predictions.tables import markdown, unexplained
from bench.report import REPOSITORY, machine, machine_line, progress
from lab.applications.travel import TRAVEL
from lab.demo.traffic import SHOP_TRAFFIC

PAGE = REPOSITORY / "docs" / "chaos.md"
BEGIN, END = "<!-- recorded by python -m bench.predictions --record -->", "<!-- end of what was recorded -->"
APPLICATIONS = {"shop": (SHOP_TRAFFIC, SHOP_FAULTS), "travel": (TRAVEL, TRAVEL_FAULTS)}
SPARE_WINDOWS = 24
SMALL = 3


def measure(name: str, *, small: bool) -> list[dict[str, Any]]:
    """The runs of an application, as they are kept."""
    behaviour, faults = APPLICATIONS[name]
    chosen = faults[:SMALL] if small else faults
    with ExitStack() as stack:
        site = Site(stack, behaviour, 2 * len(chosen) + SPARE_WINDOWS)
        return take_all(site, chosen, lambda text: progress(f"{name}: {text}"))


def record(text: str) -> None:
    """Replace what is recorded on the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> int:
    """Measure and print, or record; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--application", choices=APPLICATIONS, action="append", help="only this one")
    parser.add_argument("--small", action="store_true", help=f"only the first {SMALL} runs of an application")
    parser.add_argument("--json", type=Path, help="write the runs into this file, with the maps of their windows")
    parser.add_argument("--record", type=Path, nargs="+", help="put the runs of these files into docs/chaos.md")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    about = machine()
    kept: list[dict[str, Any]] = []
    if given.record:
        documents = [json.loads(path.read_text()) for path in given.record]
        about = documents[0]["machine"]
        kept = [run for one in documents for run in one["runs"]]
    for name in () if given.record else given.application or APPLICATIONS:
        kept += measure(name, small=given.small)
        if given.json:
            given.json.write_text(json.dumps({"machine": about, "runs": kept}) + "\n")
    runs = [compared(one) for one in kept]
    text = markdown(runs, machine_line(about))
    if given.record:
        record(text)
    print(text)
    left = unexplained(runs)
    for line in left:
        progress(f"not explained: {line}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
