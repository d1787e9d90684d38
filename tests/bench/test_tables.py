"""Every measurement prints its table and writes the same as JSON; its speed is not a matter of tests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report, run
from bench.report import Row

MACHINE = {"cpu": "c", "cpus": 2, "memoryGiB": 4, "kernel": "6.1", "python": "3.11", "date": "2026-11-24", "load": 0.1}
KERNEL = pytest.mark.kernel


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("tracing_overhead", ["--tracers", "podsonar,empty,ring"], marks=KERNEL),
        pytest.param("short_lived", [], marks=KERNEL),
        pytest.param("open_sockets", [], marks=KERNEL),
        pytest.param("volume", [], marks=KERNEL),
        pytest.param("agent_footprint", [], marks=KERNEL),
        ("replay", []),
        ("manager", []),
        ("logs", []),
        ("redaction", []),
        pytest.param("page", [], marks=pytest.mark.browser),
    ],
)
def test_small_measurement_prints_its_table_and_writes_it(
    name: str, words: list[str], repository: Path, tmp_path: Path
) -> None:
    """The rows in the file are those on the screen; the exit code is 1 exactly where a budget is not met."""
    script, file = repository / "bench" / f"{name}.py", tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, script, "--small", "--json", file, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert file.exists(), done.stderr
    found = json.loads(file.read_text())
    rows = [Row(**row) for row in found["rows"]]
    assert done.stdout.rstrip() == report.table(found["title"], rows, found["machine"])
    assert any(row.met is not None for row in rows)
    assert done.returncode == any(row.met is False for row in rows)
    for row in rows:  # what is no matter of speed
        assert row.figures.get("attributed") == row.figures.get("processes")
        assert row.figures.get("attempts") == row.figures.get("made")
        assert not row.figures.get("lost")


def test_missed_budget_is_marked_and_ends_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A budget is marked met or NOT met; one that is not makes the exit code 1."""
    rows = [Row("speed", "97 %", "≥ 98 %", met=False), Row("loss", "0", "0", met=True), Row("peak", "9 MiB")]
    assert report.finish("all", rows, None, MACHINE) == 1
    printed = capsys.readouterr().out
    assert "≥ 98 %: NOT met" in printed
    assert "0: met" in printed
    assert report.finish("all", rows[1:], None, MACHINE) == 0


def test_recording_replaces_the_tables_and_keeps_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text around the recorded part stays; of each measurement the later table is left, in the runner's order."""
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{run.BEGIN}\n{run.END}\nafter\n")
    monkeypatch.setattr(run, "PAGE", page)
    run.record({"replay": "first", "manager": "of the store"})
    run.record({"replay": "second"})
    run.record({"volume": "of edges"})
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "second" in text
    assert "first" not in text
    assert text.index("of edges") < text.index("second") < text.index("of the store")


def test_every_measurement_is_run_by_the_runner(repository: Path) -> None:
    """A script of bench/ that measures has `--json`; the runner knows each."""
    scripts = {
        path.stem
        for path in (repository / "bench").glob("*.py")
        if "def main" in path.read_text() and path.stem != "run"
    }
    assert scripts - {"ringbuf_baseline"} <= set(run.SCRIPTS)


def test_recording_one_table_leaves_the_others_and_their_headings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A table that was measured by hand keeps what its heading says about it; a new one has the plain heading."""
    page, block = tmp_path / "benchmarks.md", "`bench/{}.py`{}\n\n```\n{}\n```\n"
    kept = block.format("logs", ", beside other work", "39,838/s")
    blocks = f"{block.format('manager', ', at night', 'old')}\n{kept}"
    page.write_text(f"before\n{run.BEGIN}\n\nMeasured on: c.\n\n{blocks}\n{run.END}\nafter\n")
    monkeypatch.setattr(run, "PAGE", page)
    run.record({"manager": "new\n"})
    written = page.read_text()
    assert block.format("manager", "", "new") in written
    assert kept in written
    assert "old" not in written


def test_table_with_a_heading_that_is_not_understood_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Recording another one is refused, and the page stays."""
    page = tmp_path / "benchmarks.md"
    page.write_text(before := f"{run.BEGIN}\n\n`bench/listing.py --rounds 1`\n\n```\n7 s\n```\n\n{run.END}\n")
    monkeypatch.setattr(run, "PAGE", page)
    with pytest.raises(SystemExit, match="nothing is recorded"):
        run.record({"manager": "new"})
    assert page.read_text() == before
