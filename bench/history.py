"""Measures the history of windows: 30 days of hourly windows of 2,000 services and 20,000 edges.

    python bench/history.py [--days 30] [--small] [--json FILE]

The windows are kept as the manager keeps them (traffic differs each time, 5 % of the edges come and go); then
a real manager in a process of its own answers over loopback: maps of windows that it has not answered before, gzipped,
and histories of edges. Medians count. Bytes are those of the files that are kept for good, per edge and window.
"""

import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyarrow as pa

from bench import report
from bench.manager import running_manager
from bench.report import Row
from manager.history.archive import DETAILS, EDGES, NODES, SERVICES, file_name
from manager.history.map_tables import MapTables, details_table, edges_table, make_tables, to_parquet
from manager.history.service import History
from manager.store.agents import find_agent
from manager.store.database import Store
from manager.store.maps.windows import KeptMap, keep_map
from podsonar.model import Window
from podsonar.settings import HistorySettings
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.browser.conftest import SIZES
from tests.manager.fresh_database import migrated
from tests.manager.history.many_windows import observed_map

MAX_MAP_MS, MAX_HISTORY_MS, MAX_BYTES = 150, 300, 10
FIRST_NS = parse_rfc3339("2026-10-01T00:15:00Z")
HOUR_NS = 3600 * NS_PER_SECOND
ASKED = 11


def varied(edges: list[dict[str, Any]], dice: random.Random) -> list[dict[str, Any]]:
    """The edges with the traffic of another hour; some are not there."""
    found = []
    for edge in edges:
        if dice.random() < 0.05:
            continue
        attempts = max(1, round(edge["attempts"] * dice.lognormvariate(0, 0.3)))
        failed = min(attempts, edge["failed"])
        counts = {"attempts": attempts, "failed": failed, "established": attempts - failed}
        found.append(edge | counts | {"accepted": None if edge["accepted"] is None else attempts - failed})
    return found


def fill(history: History, agent_id: str, found: dict[str, Any], days: int) -> int:
    """Keep `days` of hourly windows, and return the number of their edge rows."""
    dice = random.Random(3)  # noqa: S311 - a repeatable sequence is what is wanted
    base: MapTables = make_tables(found | {"aggregated": {}})
    traffic = [varied(found["edges"], dice) for _ in range(24)]
    hours = [(edges_table("2026-10-01T00:15:00Z", one), to_parquet(details_table(one))) for one in traffic]
    nodes, services = to_parquet(base.nodes), to_parquet(base.services)
    services_file, rows = f"{SERVICES}/bench.parquet", 0
    history.archive.files.write(agent_id, services_file, services)
    for place in range(24 * days):
        start_ns = FIRST_NS + place * HOUR_NS
        window = Window(start_ns, start_ns + 120 * NS_PER_SECOND)
        edges, details = hours[place % 24]
        start = pa.scalar(start_ns // 1_000_000, pa.int64()).cast(pa.timestamp("ms")).cast(pa.timestamp("ms", "UTC"))
        edges = edges.set_column(0, "window", pa.repeat(start, edges.num_rows))
        rows += edges.num_rows
        for folder, body in ((EDGES, to_parquet(edges)), (NODES, nodes), (DETAILS, details)):
            history.archive.files.write(agent_id, file_name(folder, window.id, 1), body)
        document = base.document | {"window": window.wire() | {"id": window.id}}
        kept = KeptMap(window.id, window.start_ns, window.end_ns, 1, 1, 1, window.end_ns, 0, 1, "", services_file,
                       True, False, None, document)  # fmt: skip
        keep_map(history.store, agent_id, kept)
    return rows


def milliseconds(client: Any, path: str, query: list[dict[str, str]]) -> list[float]:  # noqa: ANN401 - httpx's client
    """How long each answer took."""
    times = []
    for one in query:
        began = time.perf_counter()
        client.get(path, params=one).raise_for_status().read()
        times.append(1000 * (time.perf_counter() - began))
    return times


def main() -> int:
    """Measure and print; return the exit status."""
    parser = report.parser(__doc__)
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    report.raise_priority()
    about = report.machine()
    size, days = ("small", 2) if given.small else ("large", given.days)
    found = observed_map(*SIZES[size])
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/manager.db"
        migrated(database, "bench")
        with closing(Store(database)) as store:
            agent = find_agent(store, "bench")
            if agent is None:
                raise SystemExit("bench: the agent is not there")
            history = History(store, HistorySettings(), time.time_ns)
            rows = fill(history, agent.id, found, days)
            report.progress(f"bench: {24 * days} windows are kept")
            began = time.perf_counter()
            history.index(agent)
            report.progress(f"bench: indexed in {time.perf_counter() - began:.1f} s")
        kept = sum(path.stat().st_size for path in Path(folder).glob("manager.history/*/*/*.parquet")
                   if path.parent.name != DETAILS)  # fmt: skip
        with running_manager(database) as (_, person):
            path = "/api/v1/agents/bench"
            starts = [FIRST_NS + (1 + place * 2) * HOUR_NS for place in range(ASKED)]
            windows = [{"window": Window(start_ns, start_ns).id} for start_ns in starts]
            maps = milliseconds(person, f"{path}/map", windows)
            edges = found["edges"][:: max(1, len(found["edges"]) // ASKED)][:ASKED]
            names = ("source", "destination", "port", "type")
            asked = [{name: edge[name] for name in names} for edge in edges]
            histories = milliseconds(person, f"{path}/edges/history", asked)
    figures = {"mapsMs": maps, "historiesMs": histories, "rows": rows, "bytes": kept}
    a_map, a_history, per_row = median(maps), median(histories), kept / rows
    table = [
        Row(f"map of any window, {len(found['edges']):,} edges", f"{a_map:.0f} ms", f"≤ {MAX_MAP_MS} ms",
            a_map <= MAX_MAP_MS, figures),
        Row(f"history of an edge, {24 * days} windows", f"{a_history:.0f} ms", f"≤ {MAX_HISTORY_MS} ms",
            a_history <= MAX_HISTORY_MS),
    ]  # fmt: skip
    if not given.small:  # of a few edges a file is mostly its own head
        table += [Row("kept per edge and window", f"{per_row:.1f} bytes", f"≤ {MAX_BYTES} bytes", per_row <= MAX_BYTES)]
    return report.finish("history", table, given.json, about)


if __name__ == "__main__":
    sys.exit(main())
