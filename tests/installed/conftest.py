"""One real two-node cluster for all tests that request it, with Podsonar, a Prometheus and the sample shop for some."""

from collections.abc import Iterator

import pytest

from lab.real_cluster.addressing import TESTS
from lab.real_cluster.cluster import RealCluster, down, up
from lab.real_cluster.debian_image import programs_image
from lab.real_cluster.installed import install, prometheus, shop
from lab.real_cluster.installed.prometheus import Prometheus
from lab.real_cluster.installed.shop_pods import start_shop
from tests.installed.windows import ObservedWindow, next_shop_window, observe_window

STORE = "podsonar-store"


@pytest.fixture(scope="package")
def nodes() -> Iterator[RealCluster]:
    """Two Ready nodes, removed after the tests; named differently from `make cluster`, so that both can run."""
    down(TESTS)  # what a killed run left
    cluster = up(TESTS, lambda _text: None)
    yield cluster
    down(TESTS, cluster)


@pytest.fixture(scope="package")
def installed(nodes: RealCluster) -> Iterator[RealCluster]:
    """The test cluster with the release; its database is on a volume that outlives the manager's pod."""
    nodes.load(install.podsonar_images(nodes.report))
    volume = install.local_volume(nodes, nodes.layout.nodes[0], STORE)
    agents = {"updateStrategy": {"maxUnavailable": nodes.layout.size}}  # both at once, so that the next window is whole
    install.install(nodes, {"manager": {"persistence": volume}, "nodeAgent": agents})
    yield nodes
    install.uninstall(nodes)


@pytest.fixture(scope="package")
def programs(nodes: RealCluster) -> None:
    """The image of real servers and their clients, on every node."""
    nodes.load([programs_image(nodes.report)])


@pytest.fixture(scope="package")
def watching(installed: RealCluster) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the release."""
    yield prometheus.start(installed)
    prometheus.stop(installed)


@pytest.fixture(scope="package")
def workloads(installed: RealCluster) -> tuple[shop.ShopWorkload, ...]:
    """The shop, with all its pods running."""
    made = start_shop(installed)
    next_shop_window(installed, made)
    return made


@pytest.fixture(scope="package")
def observed(installed: RealCluster, watching: Prometheus, workloads: tuple[shop.ShopWorkload, ...]) -> ObservedWindow:
    """The first full window after the shop's start, without a disturbance, with Prometheus scraping."""
    return observe_window(installed, workloads)
