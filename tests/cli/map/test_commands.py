"""`podsonar map`, `windows`, `edges`, `history`, `diff`, `export` against a running manager."""

import csv
import io
from pathlib import Path

import duckdb
import orjson
import pytest

from tests.cli.map.conftest import BASE, FAILING, Command, blinded_window, reading_command
from tests.manager.history.many_windows import window_at

FIRST, SECOND, THIRD, FOURTH = (window_at(place).id for place in range(4))


def test_map_is_printed_in_columns_and_as_json(command: Command) -> None:
    """A row per edge; the same edges as JSON and CSV."""
    plain = command("map")
    assert plain.exit_code == 0, plain.output
    assert len(plain.stdout.splitlines()) == 1 + 23
    assert plain.stdout.splitlines()[0].split()[:4] == ["source", "destination", "port", "type"]
    found = orjson.loads(command("map", "-o", "json").stdout)
    rows = list(csv.DictReader(io.StringIO(command("map", "-o", "csv").stdout)))
    assert [row["port"] for row in rows] == [edge["port"] for edge in found["edges"]]
    failed = orjson.loads(command("map", "-o", "json", "--failed").stdout)["edges"]
    assert {edge["failed"] > 0 for edge in failed} == {True}
    outside = command("map", "--external", "--window", FIRST).stdout.splitlines()[1:]
    assert all("(external)" in line or "(unresolved)" in line for line in outside)


@pytest.mark.parametrize(("shape", "mark"), [("dot", "->"), ("mermaid", "-->|"), ("graphml", "<edge ")])
def test_map_is_a_graph_with_every_edge(command: Command, shape: str, mark: str) -> None:
    """As many as the map has."""
    assert command("map", "-o", shape).stdout.count(mark) == 23


def test_windows_have_totals_and_names(command: Command) -> None:
    """Newest first; a name is given and taken away."""
    assert [line.split()[0] for line in command("windows").stdout.splitlines()] == [
        "window", FOURTH, THIRD, SECOND, FIRST
    ]  # fmt: skip
    assert command("window", "tag", "release-41", "--window", SECOND).exit_code == 0
    assert orjson.loads(command("windows", "-o", "json").stdout)[2]["tags"] == ["release-41"]
    assert orjson.loads(command("map", "--window", "release-41", "-o", "json").stdout)["window"]["id"] == SECOND
    assert command("window", "tag", "release-41", "--delete").exit_code == 0
    assert command("map", "--window", "release-41").exit_code == 1
    assert command("window", "tag", "latest").exit_code == 1


def test_new_edges_are_listed_since_a_time(command: Command) -> None:
    """By the newest window, by a span, and by the window after which they came."""
    for words in ((), ("--new-since", "1h"), ("--new-since", SECOND), ("--new-since", FOURTH)):
        rows = orjson.loads(command("edges", *words, "-o", "json").stdout)
        assert [one["port"] for one in rows] == ([] if words[-1:] == (FOURTH,) else ["6000"])
    failed = orjson.loads(command("edges", "--change", "failed", "-o", "json").stdout)
    assert BASE["edges"][FAILING]["source"] in {one["source"] for one in failed}


def test_history_of_an_edge_has_its_windows(command: Command) -> None:
    """Named as people write it; when it was seen first and last is said beside it."""
    edge = BASE["edges"][FAILING]
    done = command("history", f"{edge['source']}>{edge['destination']}:{edge['port']}")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [FIRST, SECOND, THIRD, FOURTH]
    assert f"first seen {FIRST}, last seen {FOURTH}; in 4 of 4 windows" in done.stderr
    assert command("history", "nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("words", "code", "changes"),
    [
        ((FIRST, SECOND), 0, 0),
        ((SECOND, THIRD), 1, 1),
        ((FIRST, FOURTH), 1, 2),
        ((), 1, 1),
        (("--baseline", FIRST, "--window", "latest", "--fail-on", "added,failed"), 1, 2),
        (("--baseline", SECOND, "--window", THIRD, "--fail-on", "added"), 0, 0),
        (("--baseline", SECOND, "--window", THIRD, "--fail-on", "failed"), 1, 1),
        ((FOURTH, FIRST, "--fail-on", "added,failed"), 0, 0),
        (("--baseline", "no-such-release"), 3, None),
        ((FIRST, "--baseline", SECOND), 2, None),
        (("--fail-on", "everything"), 2, None),
    ],
)
def test_diff_has_the_exit_code_of_a_gate(
    command: Command, words: tuple[str, ...], code: int, changes: int | None
) -> None:
    """0 the same, 1 different, 3 not comparable, 2 a wrong use."""
    done = command("diff", *words)
    assert done.exit_code == code, done.output
    if changes is not None:
        assert len(done.stdout.splitlines()) == 1 + changes


def test_gate_opens_for_nothing_that_was_not_observed(tmp_path: Path) -> None:
    """An edge that may be missing because its node was observed in part, and a window that no node observed: 3."""
    with reading_command(tmp_path, 3, blinded_window) as command:
        ordered = [line.endswith("cart-1 (fault)") for line in command("windows").stdout.splitlines()[1:]]
        assert ordered == [False, True, False]
        unsure = command("diff", FIRST, SECOND)
        assert (unsure.exit_code, "0 different, 1 uncertain" in unsure.stderr) == (3, True), unsure.output
        assert command("diff", FIRST, SECOND, "--fail-on", "added,failed").exit_code == 0
        unseen = command("diff", FIRST, THIRD)
        assert (unseen.exit_code, "no node was observed" in unseen.stderr) == (3, True), unseen.output


def test_exported_windows_are_read_by_duckdb(command: Command, tmp_path: Path) -> None:
    """Every window, and the map of one as a single file."""
    assert command("export", str(tmp_path / "all")).exit_code == 0
    assert command("map", "-o", "parquet", "--output", str(tmp_path / "one.parquet")).exit_code == 0
    count = 'SELECT count(*), count(DISTINCT "window") FROM read_parquet(?)'
    with duckdb.connect() as sql:
        assert sql.execute(count, [f"{tmp_path}/all/edges/*.parquet"]).fetchone() == (22 * 3 + 23, 4)
        assert sql.execute(count, [f"{tmp_path}/one.parquet"]).fetchone() == (23, 1)
    assert command("map", "-o", "parquet").exit_code == 2


def test_pair_without_an_edge_would_have_been_seen(command: Command) -> None:
    """In words, and as JSON."""
    pairs = {(edge["source"], edge["destination"]) for edge in BASE["edges"]}
    inside = [one["id"] for one in BASE["services"] if one["kind"] == "Service"]
    source, destination = next((a, b) for a in inside for b in inside if a != b and (a, b) not in pairs)
    done = command("explain", source, destination)
    assert "not seen, and would have been" in done.stdout
    found = orjson.loads(command("explain", source, destination, "-o", "json").stdout)
    assert found["verdict"] == "not_seen_would_have_been"
    assert command("explain", source, "nobody/there").exit_code == 1
