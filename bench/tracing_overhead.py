"""Measures what tracing costs the traced program, beside what a user of BCC would use instead.

    python bench/tracing_overhead.py [--pairs 7] [--tracers WORD,...] [--small] [--json FILE]

A storm of loopback connects runs in turns, untraced and traced, and is stopped while a tracer is attached or detached.
Two turns make a pair, in alternating order; the ratio of connects per second is taken within the pair, then the median
over the pairs. A program that is already loaded is attached in a moment, so its pairs can be short and many: the rest
of the machine changes little within one. BPF time is measured in separate runs (kernel.bpf_stats_enabled), over both
ends and all six transitions of a connect. Exit 1 if a budget is missed.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bpf_statistics, load, report
from bench.report import Row
from bench.tracers import OURS, OURS_PRELOADED, PRELOADED, TRACERS, Attach, untraced

PORTS = 100  # even, so that the two threads use different ports, like two programs
CONNECTS_PER_STORM, STORMS_PER_LOAD = 20011, 3  # connects of a storm that BPF time is taken of, and storms
PAIRS_PER_LOAD, OURS_TIMES = 100, 3  # for each pair of another tracer
MIN_RATIO, MAX_NS = 0.98, 700
WITH_BUDGET = (OURS_PRELOADED, OURS)  # the perf tracepoint is the fallback


@dataclass(frozen=True, slots=True)
class Turn:
    """How long each half of a pair is measured, after `settle_seconds` in which new flows and caches settle."""

    settle_seconds: float
    seconds: float


SHORT, LONG = Turn(0.005, 0.05), Turn(1.0, 1.0)


def ratios(attach: Attach, pairs: int, turn: Turn) -> list[dict[str, float]]:
    """The pairs of one tracer."""
    figures = []
    with load.storm_in_turns(PORTS) as rate:
        for number in range(pairs):
            speeds = {}
            for which in (untraced, attach) if number % 2 else (attach, untraced):
                with which():
                    speeds[which] = rate(turn.settle_seconds, turn.seconds)
            traced, bare = speeds[attach], speeds[untraced]
            figures.append({"traced": traced, "untraced": bare, "ratio": traced / bare})
    return figures


def bpf_costs(name: str, connects: int) -> list[dict[str, float]]:
    """Nanoseconds and runs per connect, for each of some storms."""
    figures = []
    others = set(bpf_statistics.programs())
    with bpf_statistics.statistics_enabled(), TRACERS[name]():
        load.storm(connects, PORTS)
        for _ in range(STORMS_PER_LOAD):
            before = bpf_statistics.programs()
            load.storm(connects, PORTS)
            ns, runs = bpf_statistics.spent_between(before, bpf_statistics.programs(), others)
            figures.append({"ns": ns / connects, "runs": runs / connects})
    return figures


def speed_row(name: str, pairs: list[dict[str, float]]) -> Row:
    """The ratio of one tracer."""
    ordered = sorted(pair["ratio"] for pair in pairs)
    middle, quarter = statistics.median(ordered), len(ordered) // 4
    rate = statistics.median(pair["untraced"] for pair in pairs)
    half = f"half of {len(pairs)} pairs {ordered[quarter]:.1%} to {ordered[-1 - quarter]:.1%}"
    budget, met = (f"≥ {MIN_RATIO:.0%}", middle >= MIN_RATIO) if name in WITH_BUDGET else ("", None)
    text = f"{middle:.1%} ({half}, untraced {rate:,.0f}/s)"
    return Row(f"connects per second, {name}", text, budget, met, {"pairs": pairs, "median": middle})


def cost_row(name: str, figures: list[dict[str, float]]) -> Row:
    """The BPF time of one tracer."""
    middle, least = (pick([cost["ns"] for cost in figures]) for pick in (statistics.median, min))
    runs = statistics.median(cost["runs"] for cost in figures)
    text = f"{middle:,.0f} ns median, {least:,.0f} least of {len(figures)} storms, {runs:.1f} runs per connect"
    budget, met = (f"≤ {MAX_NS} ns", middle <= MAX_NS) if name == OURS else ("", None)
    return Row(
        f"BPF time per connect, {name}", text, budget, met, {"storms": figures, "median": middle, "least": least}
    )


def empty_row(figures: list[dict[str, float]]) -> Row:
    """What the kernel's own clock adds to each figure."""
    middle = statistics.median(cost["ns"] for cost in figures)
    per_run = statistics.median(cost["ns"] / cost["runs"] for cost in figures if cost["runs"])
    text = f"{middle:,.0f} ns, {per_run:.0f} ns per run: included in every figure above, for measuring the time"
    return Row("BPF time per connect, empty program", text, figures={"storms": figures, "median": middle})


def measure(names: list[str], pairs: int, turns: int, loads: int, connects: int) -> list[Row]:
    """Every row."""
    preloaded: dict[str, list[dict[str, float]]] = {name: [] for name in PRELOADED}
    for number in range(pairs):  # loaded again, since a program's place in memory changes the result by up to 0.3 %
        report.progress(f"tracing: {' and '.join(PRELOADED)}, {turns} pairs, load {number + 1} of {pairs}")
        for name, program in PRELOADED.items():
            with program() as attach:
                preloaded[name] += ratios(attach, turns, SHORT)
    rows = [speed_row(name, figures) for name, figures in preloaded.items()]
    for name in names:
        times = pairs * OURS_TIMES if name == OURS else pairs
        report.progress(f"tracing: {name}, {times} pairs")
        rows.append(speed_row(name, ratios(TRACERS[name], times, LONG)))
    costed: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(loads):  # in turns, since the machine's memory may be slow for half a minute at a time
        for name in names:
            costed[name] += bpf_costs(name, connects)
    rows += [
        empty_row(figures) if name == "empty program" else cost_row(name, figures) for name, figures in costed.items()
    ]
    return rows


def select_tracers(words: str) -> list[str]:
    """The tracers whose name contains one of the words."""
    return [name for name in TRACERS if any(word in name for word in words.split(","))]


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="of each tracer; loads of the programs that are switched")
    parser.add_argument("--loads", type=int, default=7, help="times that BPF time is taken, of three storms each")
    parser.add_argument("--tracers", default="", help="only those with one of these words in their name")
    given: Any = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    sizes = (1, 4, 1, 1009) if given.small else (given.pairs, PAIRS_PER_LOAD, given.loads, CONNECTS_PER_STORM)
    return report.finish("tracing", measure(select_tracers(given.tracers), *sizes), given.json, about)


if __name__ == "__main__":
    sys.exit(main())
