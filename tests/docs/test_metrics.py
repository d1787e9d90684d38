"""docs/metrics.md and the code name the same metrics, of the same type, with the same labels."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from chaos.control.linux.metrics import LinuxMetrics
from chaos.control.logs.metrics import LogMetrics
from chaos.linux_agent.metrics import LinuxAgentMetrics
from collector.directory.metrics import DirectoryMetrics
from collector.inventory.metrics import InventoryMetrics
from collector.orders.metrics import OrderMetrics
from delegate.metrics import DelegateMetrics
from delivery.metrics import DeliveryMetrics
from manager.metrics import ManagerMetrics
from node_agent.runtime.metrics import AgentMetrics as NodeAgentMetrics
from podsonar.logs_and_probes import set_build_info

LABEL = re.compile(r"`(\w+)`")


def metrics(registry: CollectorRegistry) -> Iterator[tuple[str, tuple[str, tuple[str, ...]]]]:
    """`name, (type, labels)` of each metric of a registry."""
    for collector in set(registry._collector_to_names):
        assert isinstance(collector, MetricWrapperBase)
        suffix = "_total" if collector._type == "counter" else ""
        yield collector._name + suffix, (collector._type, tuple(collector._labelnames))


@pytest.fixture
def registries() -> tuple[CollectorRegistry, ...]:
    """The metrics of every program as it begins."""
    registry = CollectorRegistry()
    set_build_info(registry, "test")
    InventoryMetrics(registry)
    DirectoryMetrics(registry)
    OrderMetrics(registry)
    DeliveryMetrics(registry, 1)
    DelegateMetrics(registry)
    NodeAgentMetrics(registry)
    manager = ManagerMetrics().registry
    LogMetrics(manager, lambda: 0.0)
    LinuxMetrics(manager)
    return registry, manager, LinuxAgentMetrics().registry


@pytest.fixture
def coded(registries: tuple[CollectorRegistry, ...]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Every metric of every program."""
    return {name: what for registry in registries for name, what in metrics(registry)}


def rows(repository: Path) -> Iterator[list[str]]:
    """The cells of each documented metric."""
    for line in (repository / "docs/metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if cells[1:2] and cells[1].startswith("`podsonar_"):
            yield cells


def test_documented_metrics_are_those_of_the_code(
    repository: Path, coded: dict[str, tuple[str, tuple[str, ...]]]
) -> None:
    """Both ways: name, type and labels."""
    documented = {}
    for cells in rows(repository):
        labels = re.sub(r"\([^)]*\)", "", cells[3])
        documented[cells[1].strip("`")] = (cells[2], tuple(LABEL.findall(labels)))
    assert documented == coded


def test_documented_values_of_a_counters_label_are_there_from_the_start(
    repository: Path, registries: tuple[CollectorRegistry, ...]
) -> None:
    """Both ways, at 0: the values in parentheses, for every counter whose one label has such a list."""
    values_at_start: dict[str, set[str]] = {}
    for sample in (one for registry in registries for family in registry.collect() for one in family.samples):
        if sample.name.endswith("_total") and len(sample.labels) == 1:
            assert sample.value == 0
            values_at_start.setdefault(sample.name, set()).update(sample.labels.values())
    listed = {}
    for cells in rows(repository):
        one = re.fullmatch(r"`\w+` \((.*)\)", cells[3])
        if cells[2] == "counter" and one:
            listed[cells[1].strip("`")] = set(LABEL.findall(one[1]))
    assert len(listed) > 10
    assert listed == values_at_start
