"""What tracing costs the traced program, beside what a user of BCC would use instead.

    python bench/tracing.py [--pairs 7] [--tracers WORD,...] [--small] [--json FILE]

One storm of loopback connects untraced and one traced make a pair, in alternating order; the ratio of connects per
second is taken within the pair, then the median over the pairs. BPF time is taken in runs of its own
(kernel.bpf_stats_enabled), over both ends and all six transitions of a connect. Exit 1 where a budget is missed.
"""

import statistics
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import bpf_statistics, report, traffic
from bench.report import Row
from bench.tracers import OURS, TRACERS, switched, untraced

PORTS = 100  # even: each of the two threads has ports of its own, as two programs would
SETTLE_SECONDS = 1.0
COSTED = 20011  # connects of a storm that BPF time is taken of
SWITCHED_CONNECTS, SWITCHED_TIMES = 10_007, 24  # of a storm; storms for each pair of the others
BUDGETED_TIMES = 3
LEAST_RATIO, MOST_NS = 0.98, 700
SWITCHED = "podsonar's program, switched"
BUDGETED = (SWITCHED, OURS)  # the perf tracepoint is the fallback


def rate(tracer: AbstractContextManager[None], connects: int, settle_seconds: float) -> float:
    """Connects per second of one storm, of a tracer that has done what it does at its start."""
    with tracer:
        time.sleep(settle_seconds)
        traffic.storm(connects // 10 + 1, PORTS)  # new flows, the tables' pages and the caches are not what is asked
        return float(traffic.storm(connects, PORTS)["perSecond"])


def switched_ratios(pairs: int, connects: int) -> list[dict[str, float]]:
    """Many short pairs of the agent's program alone, so near in time that the rest of the machine changes little."""
    found = []
    with switched() as attached:
        for number in range(pairs):
            order = (untraced, attached) if number % 2 else (attached, untraced)
            pair = {which: rate(which(), connects, 0) for which in order}
            traced, bare = pair[attached], pair[untraced]
            found.append({"traced": traced, "untraced": bare, "ratio": traced / bare})
    return found


def ratios(name: str, pairs: int, connects: int) -> list[dict[str, float]]:
    """The pairs of one tracer."""
    found = []
    settle_seconds = SETTLE_SECONDS if pairs > 1 else 0
    for number in range(pairs):
        order = ("untraced", "traced") if number % 2 else ("traced", "untraced")
        pair = {
            which: rate(TRACERS[name]() if which == "traced" else untraced(), connects, settle_seconds)
            for which in order
        }
        found.append({**pair, "ratio": pair["traced"] / pair["untraced"]})
        report.say(f"{name}, pair {number + 1}: {pair['traced']:.0f} of {pair['untraced']:.0f} a second")
    return found


def costs(name: str, storms: int, connects: int) -> list[dict[str, float]]:
    """Nanoseconds and runs a connect of each storm."""
    found = []
    others = set(bpf_statistics.programs())
    with bpf_statistics.enabled(), TRACERS[name]():
        traffic.storm(connects, PORTS)
        for _ in range(storms):
            before = bpf_statistics.programs()
            traffic.storm(connects, PORTS)
            ns, runs = bpf_statistics.spent(before, bpf_statistics.programs(), others)
            found.append({"ns": ns / connects, "runs": runs / connects})
    return found


def speed_row(name: str, pairs: list[dict[str, float]]) -> Row:
    """The ratio of one tracer."""
    middle = statistics.median(pair["ratio"] for pair in pairs)
    least, most = min(pair["ratio"] for pair in pairs), max(pair["ratio"] for pair in pairs)
    rate = statistics.median(pair["untraced"] for pair in pairs)
    text = f"{middle:.1%} ({least:.1%} to {most:.1%}, {len(pairs)} pairs, untraced {rate:,.0f}/s)"
    budget, met = (f"≥ {LEAST_RATIO:.0%}", middle >= LEAST_RATIO) if name in BUDGETED else ("", None)
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


def measured(names: list[str], pairs: int, storms: int, connects: int) -> list[Row]:
    """Every row."""
    rows = [speed_row(SWITCHED, switched_ratios(SWITCHED_TIMES * pairs - 1, min(connects, SWITCHED_CONNECTS)))]
    # A pair has ten per cent and more of the machine's noise in it: what has a budget is asked oftener.
    times = {name: pairs * BUDGETED_TIMES if name in BUDGETED else pairs for name in names}
    rows += [speed_row(name, ratios(name, times[name], connects)) for name in names]
    for name in names:
        found = costs(name, storms, min(connects, COSTED))
        rows.append(empty_row(found) if name == "empty program" else cost_row(name, found))
    return rows


def chosen(words: str) -> list[str]:
    """The tracers whose name contains one of the words."""
    return [name for name in TRACERS if any(word in name for word in words.split(","))]


def main() -> int:
    """Measure and print."""
    parser = report.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--storms", type=int, default=21, help="storms that BPF time is taken of")
    parser.add_argument("--connects", type=int, default=40_009, help="connects of one storm")
    parser.add_argument("--tracers", default="", help="only those with one of these words in their name")
    given: Any = parser.parse_args()
    report.before_others()
    about = report.machine()
    sizes = (1, 2, 1009) if given.small else (given.pairs, given.storms, given.connects)
    return report.finish("tracing", measured(chosen(given.tracers), *sizes), given.json, about)


if __name__ == "__main__":
    sys.exit(main())
