"""One real two-node cluster for all tests that ask for it."""

from collections.abc import Iterator

import pytest

from lab.nodes.cluster import Cluster, down, up
from lab.nodes.layout import TESTS


@pytest.fixture(scope="session")
def nodes() -> Iterator[Cluster]:
    """Two nodes, Ready, gone when the tests are over; another name than `make cluster` has, so that both can be."""
    down(TESTS)  # what a killed run left
    cluster = up(TESTS, lambda _text: None)
    yield cluster
    down(TESTS, cluster)
