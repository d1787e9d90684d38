"""What tracing costs the traced program, beside what a user of BCC would use instead.

    python bench/tracing_overhead.py [--pairs 7] [--tracers WORD,...] [--small] [--json FILE]

A storm of loopback connects goes on, in turns untraced and traced, and stands still while that changes: two turns make
a pair, in alternating order; the ratio of connects per second is taken within the pair, then the median over the pairs.
A program that is loaded already is switched in a moment, so its pairs can be short and many: the rest of the machine
changes little within one. BPF time is taken in runs of its own (kernel.bpf_stats_enabled), over both ends and all six
transitions of a connect. Exit 1 where a budget is missed.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bpf_statistics, load, report
from bench.report import Row
from bench.tracers import OURS, OURS_SWITCHED, SWITCHED, TRACERS, Attach, untraced

PORTS = 100  # even: each of the two threads has ports of its own, as two programs would
COSTED, STORMS_A_LOAD = 20011, 3  # connects of a storm that BPF time is taken of, and storms
SWITCHED_TIMES, OURS_TIMES = 100, 3  # for each pair of another tracer
LEAST_RATIO, MOST_NS = 0.98, 700
BUDGETED = (OURS_SWITCHED, OURS)  # the perf tracepoint is the fallback


@dataclass(frozen=True, slots=True)
class Turn:
    """How long each half of a pair is measured, after it has settled: new flows and caches are not what is asked."""

    settle_seconds: float
    seconds: float


SHORT, LONG = Turn(0.005, 0.05), Turn(1.0, 1.0)


def ratios(attach: Attach, pairs: int, turn: Turn) -> list[dict[str, float]]:
    """The pairs of one tracer."""
    found = []
    with load.storm_in_turns(PORTS) as rate:
        for number in range(pairs):
            speeds = {}
            for which in (untraced, attach) if number % 2 else (attach, untraced):
                with which():
                    speeds[which] = rate(turn.settle_seconds, turn.seconds)
            traced, bare = speeds[attach], speeds[untraced]
            found.append({"traced": traced, "untraced": bare, "ratio": traced / bare})
    return found


def costs(name: str, connects: int) -> list[dict[str, float]]:
    """Nanoseconds and runs a connect of each of some storms."""
    found = []
    others = set(bpf_statistics.programs())
    with bpf_statistics.enabled(), TRACERS[name]():
        load.storm(connects, PORTS)
        for _ in range(STORMS_A_LOAD):
            before = bpf_statistics.programs()
            load.storm(connects, PORTS)
            ns, runs = bpf_statistics.spent(before, bpf_statistics.programs(), others)
            found.append({"ns": ns / connects, "runs": runs / connects})
    return found


def speed_row(name: str, pairs: list[dict[str, float]]) -> Row:
    """The ratio of one tracer."""
    ordered = sorted(pair["ratio"] for pair in pairs)
    middle, quarter = statistics.median(ordered), len(ordered) // 4
    rate = statistics.median(pair["untraced"] for pair in pairs)
    half = f"half of {len(pairs)} pairs {ordered[quarter]:.1%} to {ordered[-1 - quarter]:.1%}"
    budget, met = (f"≥ {LEAST_RATIO:.0%}", middle >= LEAST_RATIO) if name in BUDGETED else ("", None)
    text = f"{middle:.1%} ({half}, untraced {rate:,.0f}/s)"
    return Row(f"connects per second, {name}", text, budget, met, {"pairs": pairs, "median": middle})


def cost_row(name: str, found: list[dict[str, float]]) -> Row:
    """The BPF time of one tracer."""
    middle, least = (pick([one["ns"] for one in found]) for pick in (statistics.median, min))
    runs = statistics.median(one["runs"] for one in found)
    text = f"{middle:,.0f} ns median, {least:,.0f} least of {len(found)} storms, {runs:.1f} runs a connect"
    budget, met = (f"≤ {MOST_NS} ns", middle <= MOST_NS) if name == OURS else ("", None)
    return Row(f"BPF time a connect, {name}", text, budget, met, {"storms": found, "median": middle, "least": least})


def empty_row(found: list[dict[str, float]]) -> Row:
    """What the kernel's own clock adds to each figure."""
    middle = statistics.median(one["ns"] for one in found)
    a_run = statistics.median(one["ns"] / one["runs"] for one in found if one["runs"])
    text = f"{middle:,.0f} ns, {a_run:.0f} ns a run: what every figure above has in it for taking the time"
    return Row("BPF time a connect, empty program", text, figures={"storms": found, "median": middle})


def measured(names: list[str], pairs: int, turns: int, loads: int, connects: int) -> list[Row]:
    """Every row."""
    switched: dict[str, list[dict[str, float]]] = {name: [] for name in SWITCHED}
    for number in range(pairs):  # loaded anew, since where a program comes to lie in memory makes up to 0.3 %
        report.say(f"tracing: {' and '.join(SWITCHED)}, {turns} pairs, load {number + 1} of {pairs}")
        for name, program in SWITCHED.items():
            with program() as attach:
                switched[name] += ratios(attach, turns, SHORT)
    rows = [speed_row(name, found) for name, found in switched.items()]
    for name in names:
        times = pairs * OURS_TIMES if name == OURS else pairs
        report.say(f"tracing: {name}, {times} pairs")
        rows.append(speed_row(name, ratios(TRACERS[name], times, LONG)))
    costed: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(loads):  # in turns, since for half a minute at a time the machine's memory may be slow
        for name in names:
            costed[name] += costs(name, connects)
    rows += [empty_row(found) if name == "empty program" else cost_row(name, found) for name, found in costed.items()]
    return rows


def chosen(words: str) -> list[str]:
    """The tracers whose name contains one of the words."""
    return [name for name in TRACERS if any(word in name for word in words.split(","))]


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="of each tracer; loads of the programs that are switched")
    parser.add_argument("--loads", type=int, default=7, help="times that BPF time is taken, of three storms each")
    parser.add_argument("--tracers", default="", help="only those with one of these words in their name")
    given: Any = parser.parse_args()
    report.before_others()
    about = report.machine()
    sizes = (1, 4, 1, 1009) if given.small else (given.pairs, SWITCHED_TIMES, given.loads, COSTED)
    return report.finish("tracing", measured(chosen(given.tracers), *sizes), given.json, about)


if __name__ == "__main__":
    sys.exit(main())
