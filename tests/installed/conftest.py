"""One real two-node cluster for all tests that ask for it; the release and a Prometheus for those that ask for them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab.nodes import install, prometheus, shop
from lab.nodes.__main__ import next_window, shop_runs, start_shop
from lab.nodes.cluster import Cluster, down, up
from lab.nodes.layout import TESTS
from lab.nodes.prometheus import Prometheus

WINDOW_SECONDS = 60
REPORT_SECONDS = 120.0


@dataclass(frozen=True)
class Observed:
    """A window in which every pod of the shop ran, as the map shows it."""

    window: str
    workloads: tuple[shop.Workload, ...]
    found: dict[str, Any]


@pytest.fixture(scope="package")
def nodes() -> Iterator[Cluster]:
    """Two nodes, Ready, gone when the tests are over; another name than `make cluster` has, so that both can be."""
    down(TESTS)  # what a killed run left
    cluster = up(TESTS, lambda _text: None)
    yield cluster
    down(TESTS, cluster)


@pytest.fixture(scope="package")
def installed(nodes: Cluster) -> Iterator[Cluster]:
    """The test cluster with the release, until the last test that asks for it is over."""
    nodes.load(install.podsonar_images(nodes.report))
    install.install(nodes)
    yield nodes
    install.helm(nodes, "uninstall", install.RELEASE, "--namespace", install.NAMESPACE, "--wait")


@pytest.fixture(scope="package")
def watching(installed: Cluster) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the release."""
    yield prometheus.start(installed)
    prometheus.stop(installed)


@pytest.fixture(scope="package")
def observed(installed: Cluster, watching: Prometheus) -> Observed:
    """The first whole window after the shop's start, with Prometheus at work in it."""
    workloads = start_shop(installed)
    installed.wait("the shop's pods run", lambda: shop_runs(installed, workloads), 120)
    window = next_window(time.time_ns())
    names = [node.name for node in installed.layout.nodes]
    return Observed(window, workloads, install.wait_for_map(installed, window, names, WINDOW_SECONDS + REPORT_SECONDS))
