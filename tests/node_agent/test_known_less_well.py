"""What is known less well, or was not read: each reason is in observation, metrics and words on the page."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from node_agent.attribution import filters
from node_agent.attribution.flow_decisions import HOLDER_UNKNOWN, UNRESOLVED
from node_agent.capture.open_connections.proc_sockets import NO_TABLE, TIME_OVER
from node_agent.capture.process_table import HIDDEN, PROC_UNREADABLE, PROCESS_UNREADABLE
from node_agent.capture.window_capture import ACCEPTED_LOST, INCOMPLETE, LOST, MISSED, OUTCOMES_LOST, UNSEEN
from node_agent.runtime.metrics import OPENED_LEFT_OUT, AgentMetrics
from podsonar.directory_answer import Exclusion
from podsonar.model import Capture
from tests.node_agent.attribution.test_identity import CONTAINER, OF_WEB, VICTIM, WEB, made, outcome
from tests.node_agent.stages import capture, flow

NOT_READ = (NO_TABLE, TIME_OVER, PROC_UNREADABLE, PROCESS_UNREADABLE, HIDDEN)
OPENED = "podsonar_node_agent_open_connections_left_out_total"
LEFT_OUT = tuple(
    reason
    for reason in OPENED_LEFT_OUT
    if reason not in (*NOT_READ, HOLDER_UNKNOWN, *UNRESOLVED, *filters.RULES, *get_args(Exclusion))
)


def counted(taken: Capture, metric: str) -> Mapping[str, float]:
    """The metric's reasons that are not zero, once a capture was taken and resolved."""
    registry = CollectorRegistry()
    metrics = AgentMetrics(registry)
    metrics.record_capture(taken)
    metrics.record_resolved(outcome(taken))
    samples = (sample for family in registry.collect() for sample in family.samples if sample.name == metric)
    return {sample.labels["reason"]: sample.value for sample in samples if sample.value}


@pytest.mark.parametrize("reason", INCOMPLETE)
def test_what_found_no_room_is_in_observation_and_metrics(reason: str) -> None:
    """Names without room, connections not noted during the scan, outcomes of earlier attempts."""
    taken = replace(made(OF_WEB, "10.1.0.1"), incomplete={reason: 7})
    assert outcome(taken).observation["incomplete"] == {reason: 7}
    assert counted(taken, "podsonar_node_agent_incomplete_total") == {reason: 7}


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_open_connections_without_a_certain_owner_are_in_observation_and_metrics(reason: str) -> None:
    """Each reason that the scan finds."""
    taken = replace(capture([]), opened_left_out={reason: 11})
    assert outcome(taken).observation["openedBefore"]["leftOut"] == {reason: 11}
    assert counted(taken, OPENED) == {reason: 11}


@pytest.mark.parametrize("reason", NOT_READ)
def test_what_was_not_read_is_in_observation_and_metrics(reason: str) -> None:
    """No socket table is not an empty one."""
    taken = replace(capture([]), opened_not_read={reason: 13})
    assert outcome(taken).observation["openedBefore"]["notRead"] == {reason: 13}
    assert counted(taken, OPENED) == {reason: 13}


@pytest.mark.parametrize(
    ("names", "source", "beside", "reason"),
    [
        pytest.param(OF_WEB, "10.1.0.2", "", "identity_conflict", id="held by another pod's process"),
        pytest.param((CONTAINER, "k8s.io"), "198.51.100.1", "", "source_unknown", id="no name, no address"),
        pytest.param(("sshd.service", "system.slice"), "192.168.0.1", "", "source_not_a_pod", id="the node's"),
        pytest.param((), "10.1.0.1", VICTIM, "holder_unknown", id="by /proc, beside a proxy"),
    ],
)
def test_open_connections_that_attribution_leaves_out_are_counted_once(
    names: tuple[str, ...], source: str, beside: str, reason: str
) -> None:
    """By the reason of the rule, as established connections, in observation and metrics alike."""
    opened = flow(50, "10.96.0.10", 0, source=source)._replace(established=5, opened_before=True)
    proxy = [flow(51, "10.96.0.10", 7, source=source)] if beside else []
    cgroups = {50: names, 51: (CONTAINER, f"pod{beside}", "kubepods")}
    if not names:
        opened = opened._replace(cgroup=0, pod_uid=WEB)
    taken = replace(capture([opened, *proxy]), cgroups=cgroups)
    assert outcome(taken).observation["openedBefore"]["leftOut"] == {reason: 5}
    assert counted(taken, OPENED) == {reason: 5}


def test_every_reason_has_words_on_the_page(repository: Path) -> None:
    """What the agent may count is explained where the map shows it."""
    words = set(re.findall(r"^  (\w+): \[", (repository / "manager/page/words.js").read_text(), re.MULTILINE))
    reasons = {*INCOMPLETE, *OPENED_LEFT_OUT, *LOST, *ACCEPTED_LOST, *OUTCOMES_LOST, *UNSEEN, MISSED}
    assert reasons - words == set()
