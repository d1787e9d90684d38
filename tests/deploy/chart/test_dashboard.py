"""The dashboard is one JSON document that Grafana takes, and its queries are PromQL."""

import re
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.deploy.conftest import Chart, only


@pytest.fixture(scope="module")
def dashboard(chart: Chart) -> dict[str, Any]:
    """The dashboard as the ConfigMap carries it."""
    rendered = chart.template("--set", "metrics.dashboard.enabled=true")
    config = only(rendered, "ConfigMap", "-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    document: dict[str, Any] = orjson.loads(config["data"]["podsonar.json"])
    return document


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every query of Prometheus, with the variable filled in."""
    panels = [panel for panel in dashboard["panels"] if panel.get("datasource", {}).get("type") == "prometheus"]
    assert {panel["type"] for panel in dashboard["panels"] if panel not in panels} == {"row", "nodeGraph"}
    return [one["expr"].replace("$namespace", ".*") for panel in panels for one in panel["targets"]]


def test_panels_have_a_title_a_description_and_a_place_of_their_own(dashboard: dict[str, Any]) -> None:
    """No two panels overlap, and each describes what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"].endswith((".", '"'))
    assert {panel["id"] for panel in dashboard["panels"]} == set(range(1, len(dashboard["panels"]) + 1))


def test_queries_are_promql_over_our_metrics_in_the_chosen_namespaces(
    dashboard: dict[str, Any], tmp_path: Path
) -> None:
    """Promtool parses each query as a recording rule; each names a metric of Podsonar and the namespace variable."""
    found = queries(dashboard)
    assert len(found) >= 25
    assert all("podsonar_" in query and 'namespace=~".*"' in query for query in found)
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(found)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics_of_dashboard_alerts_and_test_pod_are_documented(chart: Chart, repository: Path) -> None:
    """A renamed metric cannot stay behind in a query: docs/metrics.md is compared with the code elsewhere."""
    documented = set(re.findall(r"`(podsonar_[a-z_]+)`", (repository / "docs/metrics.md").read_text()))
    files = ("dashboards/podsonar.json", "rules/alerts.yaml", "tests/reports.py")
    used = {name for file in files for name in re.findall(r"podsonar_[a-z_]+", (chart.folder / file).read_text())}
    assert len(used) > 25
    assert {name.removesuffix("_bucket") for name in used} - documented == set()
