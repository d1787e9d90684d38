"""One real two-node cluster for all tests that ask for it, with Podsonar, a Prometheus and the sample shop for some."""

from collections.abc import Iterator

import pytest

from lab.real_cluster.addressing import TESTS
from lab.real_cluster.cluster import RealCluster, down, up
from lab.real_cluster.installed import install, prometheus, shop
from lab.real_cluster.installed.prometheus import Prometheus
from lab.real_cluster.installed.shop_pods import shop_runs, start_shop
from tests.installed.windows import Observed, next_whole, reported

STORE = "podsonar-store"


@pytest.fixture(scope="package")
def nodes() -> Iterator[RealCluster]:
    """Two nodes, Ready, gone when the tests are over; another name than `make cluster` has, so that both can be."""
    down(TESTS)  # what a killed run left
    cluster = up(TESTS, lambda _text: None)
    yield cluster
    down(TESTS, cluster)


@pytest.fixture(scope="package")
def installed(nodes: RealCluster) -> Iterator[RealCluster]:
    """The test cluster with the release, its database on a volume that outlives the manager's pod."""
    nodes.load(install.podsonar_images(nodes.report))
    volume = install.local_volume(nodes, nodes.layout.nodes[0], STORE)
    agents = {"updateStrategy": {"maxUnavailable": nodes.layout.size}}  # both at once, so that the next window is whole
    install.install(nodes, {"manager": {"persistence": volume}, "nodeAgent": agents})
    yield nodes
    install.uninstall(nodes)


@pytest.fixture(scope="package")
def watching(installed: RealCluster) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the release."""
    yield prometheus.start(installed)
    prometheus.stop(installed)


@pytest.fixture(scope="package")
def workloads(installed: RealCluster) -> tuple[shop.ShopWorkload, ...]:
    """The shop, all of whose pods run."""
    made = start_shop(installed)
    installed.wait("the shop's pods run", lambda: shop_runs(installed, made), 120)
    return made


@pytest.fixture(scope="package")
def observed(installed: RealCluster, watching: Prometheus, workloads: tuple[shop.ShopWorkload, ...]) -> Observed:
    """The first whole window after the shop's start, in which nothing happens, with Prometheus at work."""
    window = next_whole()
    return Observed(window, workloads, reported(installed, window))
