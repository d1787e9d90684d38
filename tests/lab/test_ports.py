"""Ports for programs that listen later are such as the kernel gives to nobody."""

import socket

import pytest

from lab.controlplane.ports import END, FIRST, RANGE, first_free, free_ports, outside
from podsonar.errors import ApiServerError


@pytest.mark.parametrize(
    ("local_range", "count"), [("32768\t60999\n", END - FIRST), ("25000 60999", 5000), ("1024 65535", 0)]
)
def test_ports_are_outside_the_kernels_range(local_range: str, count: int) -> None:
    """Of the whole range, of a part of it, or none."""
    assert len(outside(local_range)) == count


def test_ports_given_are_different_and_nobody_listens_there() -> None:
    """By a listener on each; a port that is taken is not given."""
    ports = free_ports(3)
    assert len(set(ports)) == 3
    assert set(ports) <= set(outside(RANGE.read_text()))
    with socket.create_server(("127.0.0.1", ports[0])):
        assert first_free(ports, 1, "127.0.0.1") == [ports[1]]
        with pytest.raises(ApiServerError, match=r"0 ports of 127\.0\.0\.1 are free, expected 1"):
            first_free(ports[:1], 1, "127.0.0.1")
