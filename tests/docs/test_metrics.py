"""docs/metrics.md and the code name the same metrics, of the same type, with the same labels."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from collector.telemetry import DirectoryMetrics
from collector.telemetry import Metrics as CollectorMetrics
from discovery.delivery_metrics import DeliveryMetrics
from discovery.telemetry import tell_build
from manager.telemetry import Telemetry
from node_agent.telemetry import Metrics as NodeAgentMetrics

LABEL = re.compile(r"`(\w+)`")


def metrics(registry: CollectorRegistry) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    """`name, (type, labels)` of each metric of a registry."""
    for collector in set(registry._collector_to_names):
        assert isinstance(collector, MetricWrapperBase)
        suffix = "_total" if collector._type == "counter" else ""
        yield collector._name + suffix, (collector._type, tuple(collector._labelnames))


@pytest.fixture
def coded() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every metric of every program."""
    registry = CollectorRegistry()
    tell_build(registry, "test")
    CollectorMetrics(registry)
    DirectoryMetrics(registry)
    DeliveryMetrics(registry, 1)
    NodeAgentMetrics(registry)
    return dict(metrics(registry)) | dict(metrics(Telemetry().registry))


def test_documented_metrics_are_those_of_the_code(
    repository: Path, coded: dict[str, tuple[str, tuple[str, ...]]]
) -> None:
    """Both ways: name, type and labels."""
    documented = {}
    for line in (repository / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if cells[1:2] and cells[1].startswith("`podsonar_"):
            labels = re.sub(r"\([^)]*\)", "", cells[3])
            documented[cells[1].strip("`")] = (cells[2], tuple(LABEL.findall(labels)))
    assert documented == coded
