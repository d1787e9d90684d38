"""bench/listing.py measures what it states; its speed is not a matter of tests."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

PODS, NODES, SERVICES = 601, 7, 5


@pytest.mark.cluster
def test_small_run_of_the_bench_lists_everything_by_each_way(repository: Path, tmp_path: Path) -> None:
    """Each way sees every pod, by one sequence of pages a kind; the table has each row and each budget."""
    command = [sys.executable, "bench/listing.py", "--rounds", "1", "--json", str(tmp_path / "result.json")]
    sizes = ["--pods", str(PODS), "--nodes", str(NODES), "--services", str(SERVICES)]
    found = subprocess.run([*command, *sizes], cwd=repository, capture_output=True, text=True, check=False)
    assert found.returncode in (0, 1), found.stderr
    result = orjson.loads((tmp_path / "result.json").read_bytes())
    rows = result["rows"]
    assert rows["kubernetes, typed models"]["objects"] == PODS
    namespaces = rows["podsonar, whole path"]["objects"] - PODS - NODES - 3 * SERVICES
    assert 40 < namespaces < 60  # and the service `kubernetes`
    assert rows["podsonar, twice the pods"]["objects"] == rows["podsonar, whole path"]["objects"] + PODS
    assert (rows["podsonar, whole path"]["requests"], rows["podsonar, twice the pods"]["requests"]) == (10, 11)
    assert all(row["peak_mib"] > 0 and row["seconds"] > 0 for row in rows.values())
    assert all(name in found.stdout for name in (*rows, *result["budgets"]))
