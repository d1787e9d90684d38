"""Ports for programs that get theirs as an argument: they listen a while later, and again after a restart.

A port that the kernel chose may meanwhile be given to whoever else asks it for one. These are from outside the range
that it chooses from (`ip_local_port_range`, ip(7)), and below those of NodePorts.
"""

import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from podsonar.errors import ApiServerError

FIRST, END = 20_000, 30_000
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def outside(local_range: str) -> list[int]:
    """Ports from FIRST on that the kernel gives to nobody; `local_range` has the first and the last that it gives."""
    first, last = map(int, local_range.split())
    return [port for port in range(FIRST, END) if not first <= port <= last]


def is_free(port: int, address: str) -> bool:
    """Whether nothing listens on the port."""
    try:
        socket.create_server((address, port)).close()
    except OSError:
        return False
    return True


def first_free(ports: Iterable[int], count: int, address: str) -> list[int]:
    """The first `count` of the ports on which nothing listens; ApiServerError if there are fewer."""
    found: list[int] = []
    for port in ports:
        if len(found) == count:
            break
        if is_free(port, address):
            found.append(port)
    if len(found) < count:
        raise ApiServerError(f"{len(found)} ports of {address} are free, expected {count} outside of {RANGE}")
    return found


def free_ports(count: int, address: str = "127.0.0.1") -> list[int]:
    """Ports of the address on which nothing listens, each time others."""
    dice = random.Random(os.urandom(8))  # noqa: S311 - no secret
    ports = outside(RANGE.read_text())
    return first_free(dice.sample(ports, len(ports)), count, address)
