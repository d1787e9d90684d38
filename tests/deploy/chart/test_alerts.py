"""The alerts are valid, fire on what they are for, and stay quiet else (promtool)."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import MONITORING, Chart, Object, only

ENABLED = ["--set", "metrics.prometheusRule.enabled=true", "--api-versions", MONITORING[2]]


@pytest.fixture(scope="module")
def rules(chart: Chart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered rules as a file for promtool."""
    path = tmp_path_factory.mktemp("rules") / "alerts.yaml"
    path.write_text(yaml.safe_dump(only(chart.template(*ENABLED), "PrometheusRule")["spec"]))
    return path


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return its output; fail the test if it reports an error."""
    assert shutil.which("promtool"), "expected promtool (Debian package `prometheus`; deploy/setup.sh test installs it)"
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_are_valid(rules: Path) -> None:
    """Promtool accepts every one."""
    assert f"{len(CASES)} rules found" in promtool("check", "rules", rules)


def test_each_alert_states_what_why_and_what_to_do(rules: Path, repository: Path) -> None:
    """Summary, description, and a runbook_url whose anchor is a heading of the troubleshooting page."""
    headings = [
        line.lstrip("#").strip().lower().replace(" ", "-")
        for line in (repository / "docs/troubleshooting.md").read_text().splitlines()
        if line.startswith("#")
    ]
    for rule in yaml.safe_load(rules.read_text())["groups"][0]["rules"]:
        notes = rule["annotations"]
        assert notes["summary"]
        assert notes["description"]
        assert notes["runbook_url"].rpartition("#")[2] in headings, rule["alert"]


# Alert -> series that make it fire, series that look alike and must not, and the labels that it fires with.
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "PodsonarCollectorStale": (
        {'podsonar_collector_last_success_timestamp_seconds{namespace="n",kind="Pod"}': "0x400"},
        {'podsonar_collector_last_success_timestamp_seconds{namespace="n",kind="Node"}': "0+60x400"},
        {"namespace": "n", "kind": "Pod"},
    ),
    "PodsonarListErrors": (
        {
            'podsonar_collector_list_total{namespace="n",kind="Job",result="error"}': "0+1x400",
            'podsonar_collector_list_total{namespace="n",kind="Job",result="success"}': "0+9x400",
        },
        {
            'podsonar_collector_list_total{namespace="n",kind="Pod",result="error"}': "1x400",
            'podsonar_collector_list_total{namespace="n",kind="Pod",result="success"}': "0+9x400",
        },
        {"namespace": "n", "kind": "Job"},
    ),
    "PodsonarTracerDown": (
        {'podsonar_node_agent_tracer_up{namespace="n",pod="a",method="none"}': "0x400"},
        {'podsonar_node_agent_tracer_up{namespace="n",pod="b",method="raw_tracepoint"}': "1x400"},
        {"namespace": "n", "pod": "a"},
    ),
    "PodsonarEventsLost": (
        {
            'podsonar_node_agent_events_lost_total{namespace="n",pod="a",stage="map_full"}': "0+2x400",
            'podsonar_node_agent_events_total{namespace="n",pod="a",family="ipv4"}': "0+100x400",
        },
        {
            'podsonar_node_agent_events_lost_total{namespace="n",pod="b",stage="map_full"}': "0+1x400",
            'podsonar_node_agent_events_total{namespace="n",pod="b",family="ipv4"}': "0+1000x400",
        },
        {"namespace": "n", "pod": "a"},
    ),
    "PodsonarSpoolFilling": (
        {
            'podsonar_spool_bytes{namespace="n",pod="a"}': "81x400",
            'podsonar_spool_capacity_bytes{namespace="n",pod="a"}': "100x400",
        },
        {
            'podsonar_spool_bytes{namespace="n",pod="b"}': "80x400",
            'podsonar_spool_capacity_bytes{namespace="n",pod="b"}': "100x400",
        },
        {"namespace": "n", "pod": "a"},
    ),
    "PodsonarBatchesDropped": (
        {'podsonar_spool_dropped_batches_total{namespace="n",pod="a",reason="full"}': "_x380 1x20"},
        {'podsonar_spool_dropped_batches_total{namespace="n",pod="b",reason="full"}': "5x400"},
        {"namespace": "n", "pod": "a", "reason": "full"},
    ),
    "PodsonarPushRefused": (
        {
            'podsonar_push_requests_total{namespace="n",pod="a",code="401"}': "0+1x400",
            'podsonar_push_last_success_timestamp_seconds{namespace="n",pod="a"}': "0x400",
        },
        {
            'podsonar_push_requests_total{namespace="n",pod="b",code="401"}': "0+1x400",
            'podsonar_push_last_success_timestamp_seconds{namespace="n",pod="b"}': "0+60x400",
        },
        {"namespace": "n", "pod": "a", "code": "401"},
    ),
    "PodsonarPushBehind": (
        {
            'podsonar_spool_oldest_timestamp_seconds{namespace="n",pod="a"}': "0x400",
            'podsonar_spool_batches{namespace="n",pod="a"}': "1x400",
        },
        {
            'podsonar_spool_oldest_timestamp_seconds{namespace="n",pod="b"}': "0x400",
            'podsonar_spool_batches{namespace="n",pod="b"}': "0x400",
        },
        {"namespace": "n", "pod": "a"},
    ),
    "PodsonarDelegateTaskExpired": (
        {'podsonar_manager_delegate_tasks_expired_total{namespace="n",kind="delete"}': "0x380 1x20"},
        {'podsonar_manager_delegate_tasks_expired_total{namespace="m",kind="apply"}': "3x400"},
        {"namespace": "n", "kind": "delete"},
    ),
    "PodsonarHostSilent": (
        {'podsonar_manager_linux_infras{namespace="n",state="silent"}': "2x400"},
        {'podsonar_manager_linux_infras{namespace="m",state="silent"}': "0x400"},
        {"namespace": "n"},
    ),
    "PodsonarTaskTimedOut": (
        {'podsonar_manager_linux_tasks_ended_total{namespace="n",status="Timeout"}': "0x380 1x20"},
        {'podsonar_manager_linux_tasks_ended_total{namespace="m",status="Error"}': "0x380 1x20"},
        {"namespace": "n"},
    ),
    "PodsonarResultsWaiting": (
        {'podsonar_linux_agent_oldest_result_seconds{instance="a"}': "601x400"},
        {'podsonar_linux_agent_oldest_result_seconds{instance="b"}': "600x400"},
        {"instance": "a"},
    ),
    "PodsonarLogLinesNotKept": (
        {'podsonar_manager_log_lines_total{namespace="n",result="not_kept"}': "0x380 7x20"},
        {'podsonar_manager_log_lines_total{namespace="m",result="duplicate"}': "0x380 7x20"},
        {"namespace": "n"},
    ),
}


def rule_named(rules: Path, alert: str) -> Object:
    """The rule of that name."""
    found: list[Any] = yaml.safe_load(rules.read_text())["groups"][0]["rules"]
    (rule,) = [one for one in found if one["alert"] == alert]
    return rule


@pytest.mark.parametrize("alert", CASES)
def test_alert_fires_for_its_cause_and_not_for_what_looks_alike(rules: Path, tmp_path: Path, alert: str) -> None:
    """After 399 minutes the one series has fired and the other, close to the limit, has not."""
    causes, alike, labels = CASES[alert]
    series = [{"series": name, "values": values} for name, values in (causes | alike).items()]
    rule = rule_named(rules, alert)
    expression = {"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": "399m"}
    expected = [{"labels": "{}", "value": 1}]
    named = {"__name__": "ALERTS", "alertname": alert, "alertstate": "firing", **rule["labels"], **labels}
    matcher = "{" + ",".join(f'{key}="{value}"' for key, value in named.items() if key != "__name__") + "}"
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [
                    {**expression, "exp_samples": expected},
                    {"expr": f"count(ALERTS{matcher})", "eval_time": "399m", "exp_samples": expected},
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    promtool("test", "rules", path)


def test_every_alert_has_a_case(rules: Path) -> None:
    """A new alert needs a series that makes it fire and one that must not."""
    assert {one["alert"] for one in yaml.safe_load(rules.read_text())["groups"][0]["rules"]} == set(CASES)
