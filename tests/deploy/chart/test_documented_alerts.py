"""The alert rules that a page shows are valid, and fire on what they are for alone (promtool)."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from manager.metrics import EDGE_CHANGES
from tests.deploy.chart.test_alerts import promtool

RULES = re.compile(r"^```yaml\n(groups:\n.*?)^```", re.MULTILINE | re.DOTALL)
# Alert -> the change that makes it fire.
EXPECTED = {"PodsonarNewEdges": "new", "PodsonarEdgesGone": "gone"}


def documented(repository: Path) -> dict[str, str]:
    """Every block of alert rules of the pages: name of the page -> text."""
    pages = {page.name: RULES.findall(page.read_text()) for page in sorted((repository / "docs").glob("*.md"))}
    return {name: text for name, blocks in pages.items() for text in blocks}


def series(change: str, values: str) -> dict[str, str]:
    """The samples of one change, a minute apart."""
    return {"series": f'podsonar_manager_edge_changes_total{{instance="m",change="{change}"}}', "values": values}


def case(alert: str, samples: list[dict[str, str]], number: int | None) -> dict[str, Any]:
    """A test of promtool: 50 minutes on, the alert fires with that number of edges, or not at all."""
    change = EXPECTED[alert]
    fires = {"exp_labels": {"alertname": alert, "instance": "m", "change": change}}
    if number is None:
        return {"interval": "1m", "input_series": samples, "alert_rule_test": [quiet(alert)]}
    words = {"new": "connections that no window before had", "gone": "connections are gone, and would have been seen"}
    fires["exp_annotations"] = {"summary": f"{number} {words[change]}"}
    return {"interval": "1m", "input_series": samples, "alert_rule_test": [quiet(alert) | {"exp_alerts": [fires]}]}


def quiet(alert: str) -> dict[str, Any]:
    """The alert does not fire."""
    return {"eval_time": "60m", "alertname": alert, "exp_alerts": []}


@pytest.mark.parametrize("alert", sorted(EXPECTED))
def test_documented_alert_fires_on_its_change_alone(alert: str, repository: Path, tmp_path: Path) -> None:
    """Edges of that change fire it; those of the other changes, and ones that are no news any more, do not."""
    ((_, text),) = documented(repository).items()
    (tmp_path / "rules.yaml").write_text(text)
    assert f"{len(EXPECTED)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")
    assert {rule["alert"] for rule in yaml.safe_load(text)["groups"][0]["rules"]} == set(EXPECTED)
    own, others = EXPECTED[alert], [one for one in EDGE_CHANGES if one != EXPECTED[alert]]
    none = [series(change, "0x60") for change in EDGE_CHANGES]
    tests = [
        case(alert, [series(own, "0+3x60")], 180),
        case(alert, none, None),
        case(alert, [series(own, "7x60"), *(series(one, "0+1x60") for one in others)], None),
    ]
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": tests}))
    promtool("test", "rules", tmp_path / "tests.yaml")
