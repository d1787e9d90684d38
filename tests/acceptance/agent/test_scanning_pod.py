"""A pod that scans costs its own records: not its neighbours', not the agent's memory, not the batch."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from lab.simulated.pods import Lab
from manager.schema.push_schema import ConnectionsBatch, read_batch
from node_agent.capture.fair_share import MOST_FLOWS, POD_SHARE
from tests.acceptance.agent_process import agent
from tests.acceptance.directory_and_manager import directory_and_manager
from tests.node_agent import stages

pytestmark = pytest.mark.kernel

SECONDS = float(os.environ.get("SCAN_SECONDS", "8"))  # the agent's default window has 120
RATE = 4000
NEW_PER_SECOND_OF_NEIGHBOUR = 23
MEMORY_BYTES = 256 << 20  # half of the chart's limit
SCANNER, NEIGHBOUR = stages.WEB, stages.OWN


def peak_bytes(pid: int) -> int:
    """The largest resident memory that a process had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def made_by(body: dict[str, Any], uid: str) -> list[int]:
    """Attempts of each connection of a pod."""
    ends = [one["attempts"] for one in body["connectionList"] if one["kubernetes"]["sourcePod"]["uid"] == uid]
    return sorted(ends)


def test_row_61_scan_of_a_whole_window_is_summed_and_the_neighbours_edges_are_exact(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """4,000 new destinations per second: every attempt of both pods is delivered or counted, and the batch is taken."""
    count, others = int(SECONDS * 0.8 * RATE), int(SECONDS * NEW_PER_SECOND_OF_NEIGHBOUR)
    with directory_and_manager() as (url, came), Lab("podsonarscan") as lab:
        scanner = lab.add_pod("scanner", SCANNER, ("10.244.7.21",))
        neighbour = lab.add_pod("neighbour", NEIGHBOUR, ("10.244.7.22",))
        urls = {"manager": {"url": url}, "directory": {"url": url}, "node": {"drainSeconds": 5}}
        with agent(tmp_path, seconds=SECONDS + 8, starts_in=12, **urls) as running:
            running.wait_for_log("event=tracing")
            scanner.send_command({"address": "10.99.0.1", "port": 1, "count": count, "mode": "scan", "rate": RATE})
            neighbour.send_command({"address": "10.99.9.1", "port": 1, "count": others, "mode": "scan", "rate": 10**6})
            running.wait_for_log("event=window_spooled")
            running.wait_until(lambda: came)
            (process,) = running.children("entrypoint")
            peak = peak_bytes(process)
            record_property("peak_mebibytes", peak >> 20)
            assert running.process.poll() is None, running.log_text
    ((_at_ns, body),) = came
    counts: dict[str, Any] = body["observation"]  # type: ignore[assignment]
    exact = made_by(body, SCANNER)
    sums = [one for one in counts["scan"] if one["pod"]["uid"] == SCANNER]
    assert exact == [1] * len(exact)
    assert len(exact) <= POD_SHARE
    assert sum(one["attempts"] for one in sums) == count - len(exact)
    assert {one["ports"] for one in sums if one["attempts"] > POD_SHARE} <= {"1024-49151", "49152-65535"}
    assert made_by(body, NEIGHBOUR) == [1] * others
    assert counts["lost"] == {}
    assert counts["filtered"]["scan"] == count - len(exact)
    assert counts["attempts"] == counts["delivered"] + sum(counts["filtered"].values()) + sum(
        counts["unresolved"].values()
    )
    taken = read_batch(orjson.dumps(body))
    assert isinstance(taken, ConnectionsBatch)
    assert taken.connections.total <= MOST_FLOWS
    assert taken.observation["scan"] == counts["scan"]
    assert peak <= MEMORY_BYTES
