"""Addresses as numbers: one table for both families, ranges by shifting, and what no cluster would call its own."""

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network

from podsonar.errors import InputError

MAPPED = 0xFFFF << 32  # ::ffff:0:0/96: an IPv4 address is its IPv4-mapped IPv6 number
IPV4_BITS = 32
IPV6_BITS = 128
NEIGHBOUR_BITS = {IPV4_BITS: 8, IPV6_BITS: 64}  # of the host part: /24 and /64, what clusters carve pod ranges from


def address_key(text: str) -> int:
    """The number of an address; an IPv4-mapped IPv6 address is its IPv4 address. InputError where it is none."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError) as error:
        raise InputError(f"address {text[:60]!r} is neither IPv4 nor IPv6") from error


def address_text(key: int) -> str:
    """The canonical text of an address's number."""
    return str(IPv4Address(key & 0xFFFFFFFF)) if key >> IPV4_BITS == 0xFFFF else str(IPv6Address(key))


def address_keys(texts: Iterable[object]) -> frozenset[int]:
    """The numbers of those texts that are addresses: what an API server lets through besides owns nothing."""
    found = set()
    for text in texts:
        try:
            found.add(address_key(str(text)))
        except InputError:
            continue
    return frozenset(found)


def width(key: int) -> int:
    """How many bits the family of an address has."""
    return IPV4_BITS if key >> IPV4_BITS == 0xFFFF else IPV6_BITS


@dataclass(slots=True)
class Ranges:
    """A set of networks; the cost of `in` grows with the number of different prefix lengths only."""

    by_shift: dict[int, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, networks: Iterable[str]) -> "Ranges":
        """The networks of these CIDRs."""
        ranges = cls()
        for cidr in networks:
            ranges.add(cidr)
        return ranges

    def add(self, cidr: str) -> None:
        """Take in a network; InputError where it is none."""
        try:
            network = ip_network(cidr, strict=False)
        except ValueError as error:
            raise InputError(f"range {cidr[:60]!r} is no network such as 10.244.0.0/24") from error
        self.add_key(address_key(str(network.network_address)), network.max_prefixlen - network.prefixlen)

    def add_key(self, key: int, host_bits: int) -> None:
        """Take in the network of an address."""
        self.by_shift.setdefault(host_bits, set()).add(key >> host_bits)

    def add_neighbourhood(self, key: int) -> None:
        """Take in the /24 or /64 around an address."""
        self.add_key(key, NEIGHBOUR_BITS[width(key)])

    def __contains__(self, key: int) -> bool:
        return any(key >> shift in prefixes for shift, prefixes in self.by_shift.items())


MAY_BE_CLUSTER = Ranges.of(  # where clusters take service and pod ranges from; no object names the ranges
    ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
