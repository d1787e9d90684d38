"""`podsonar chaos judge | plan`: files in, report and exit code out."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from cli.main import podsonar
from podsonar.errors import PodsonarError
from tests.chaos.control.judge.windows import BASELINE, changed, edge, window_map

GONE = changed(edge("frontend", "cart", 44, 0))
EXPERIMENT = """
fault: pod-network-partition
target: {edge: "shop/frontend -> shop/cart:8080"}
hypothesis:
  breaks: ["shop/frontend -> shop/cart:8080"]
"""


def run(folder: Path, fault: list[dict[str, Any]], *options: str, **window: Any) -> tuple[int, dict[str, Any]]:
    """Exit code and report of a judgement from files."""
    (folder / "before.json").write_bytes(orjson.dumps(window_map(BASELINE)))
    (folder / "fault.json").write_bytes(orjson.dumps(window_map(fault, 1, **window)))
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    arguments = ["--baseline", f"@{folder}/before.json", "--fault", f"@{folder}/fault.json", *options]
    arguments += ["--hypothesis", f"{folder}/experiment.yaml", "--json"]
    result = CliRunner().invoke(podsonar, ["chaos", "judge", *arguments])
    return result.exit_code, orjson.loads(result.stdout)


@pytest.mark.parametrize(
    ("fault", "window", "code", "verdict"),
    [
        pytest.param(GONE, {}, 0, "Pass", id="pass"),
        pytest.param(BASELINE, {}, 1, "Fail", id="fail"),
        pytest.param(GONE, {"lost": 14}, 4, "N/A", id="not available"),
    ],
)
def test_exit_code_is_the_verdict(
    tmp_path: Path, fault: list[dict[str, Any]], window: dict[str, Any], code: int, verdict: str
) -> None:
    """A pipeline can use it; the prediction of the file's own fault is in the report."""
    found, report = run(tmp_path, fault, **window)
    assert (found, report["verdict"]) == (code, verdict)
    assert report["prediction"]["summary"].startswith("1 edges, 1 workloads, 1 of 5 services exposed")


def test_plan_shows_prediction_and_guards(tmp_path: Path) -> None:
    """Exit 0 if no guard refuses, 3 if one does."""
    before = tmp_path / "before.json"
    before.write_bytes(orjson.dumps(window_map(BASELINE)))
    file = tmp_path / "experiment.yaml"
    for text, code in ((EXPERIMENT, 0), (EXPERIMENT + "guards: {protectedNamespaces: [shop]}\n", 3)):
        file.write_text(text)
        result = CliRunner().invoke(podsonar, ["chaos", "plan", "--baseline", f"@{before}", str(file)])
        assert result.exit_code == code, result.output
        assert "breaks: shop/frontend -> shop/cart:8080" in result.stdout
        assert ("guard failed: protected namespaces: namespace shop is protected" in result.stdout) == (code == 3)


@pytest.mark.parametrize(
    ("content", "arguments", "expected"),
    [
        pytest.param("- a\n", [], "Expected `object`", id="no mapping"),
        pytest.param("hypotesis: {}\n", [], "unknown field `hypotesis`", id="unknown member"),
        pytest.param("a: [\n", [], "is not YAML", id="no YAML"),
        pytest.param("fault: pod-delete\ntarget: {pod: x}\n", [], "unknown field `pod`", id="unknown target"),
        pytest.param(EXPERIMENT, ["--recovery", "latest"], "wants --manager", id="window without a manager"),
        pytest.param(EXPERIMENT, ["--manager", "ftp://x", "--key-file", "KEY"], "expected https://host", id="scheme"),
        pytest.param(
            EXPERIMENT, ["--manager", "http://manager.example", "--key-file", "KEY"], "in the clear", id="http"
        ),
        pytest.param(EXPERIMENT, ["--manager", "http://localhost:1"], "--key-file", id="no key"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, content: str, arguments: list[str], expected: str) -> None:
    """What, which value, what was expected; exit code 2."""
    for name in ("before", "fault"):
        (tmp_path / f"{name}.json").write_bytes(orjson.dumps(window_map(BASELINE, name == "fault")))
    (tmp_path / "e.yaml").write_text(content)
    (tmp_path / "key").write_text("k" * 40)
    given = ["--baseline", f"@{tmp_path}/before.json", "--fault", f"@{tmp_path}/fault.json"]
    given += [one.replace("KEY", str(tmp_path / "key")) for one in arguments]
    result = CliRunner().invoke(podsonar, ["chaos", "judge", *given, "--hypothesis", f"{tmp_path}/e.yaml"])
    assert isinstance(result.exception, PodsonarError)
    assert (result.exception.exit_code, expected in str(result.exception)) == (2, True), str(result.exception)
