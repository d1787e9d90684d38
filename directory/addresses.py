"""Addresses as numbers: one table for both families, ranges by shifting, and which addresses are public.

What is public is listed here, after the IANA special-purpose registries, and not taken from `ipaddress`: its answer
changes between versions of Python, and a replay gives the same bytes on every machine.
"""

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network

from podsonar.errors import InputError

MAPPED = 0xFFFF << 32  # ::ffff:0:0/96: an IPv4 address is its IPv4-mapped IPv6 number
IPV4_BITS = 32
IPV6_BITS = 128
NEIGHBOUR_BITS = {IPV4_BITS: 8, IPV6_BITS: 64}  # of the host part: /24 and /64, the ranges that clusters give to nodes
LONGEST_TEXT = 64  # characters; the longest address in full has 45, without zeros that are put in front
NAT64_PREFIX = int.from_bytes(socket.inet_pton(socket.AF_INET6, "64:ff9b::"), "big")


def address_key(text: str) -> int:
    """Return the number of an address; an IPv4-mapped IPv6 address is its IPv4 address. InputError for other texts."""
    try:
        if ":" in text:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big")
        return MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
    except (OSError, ValueError) as error:
        raise InputError(f"address {text[:60]!r} is neither IPv4 nor IPv6") from error


def without_leading_zeros(text: str) -> str:
    """Return an address as kube-proxy reads it: `010.0.0.1` is decimal (`netutils.ParseIPSloppy`), not octal."""
    head, colon, dotted = text.rpartition(":")
    if "." not in dotted or "0" not in dotted:
        return text
    parts = [(part.lstrip("0") or "0") if part.isascii() and part.isdigit() else part for part in dotted.split(".")]
    return f"{head}{colon}{'.'.join(parts)}"


def address_keys(texts: Iterable[object]) -> frozenset[int]:
    """Return the numbers of those values that are addresses; the API server stores other values, which own nothing."""
    keys = set()
    for text in texts:
        if isinstance(text, str) and len(text) <= LONGEST_TEXT:
            try:
                keys.add(address_key(without_leading_zeros(text)))
            except InputError:
                continue
    return frozenset(keys)


def address_text(key: int) -> str:
    """Return the canonical text of an address's number."""
    return str(IPv4Address(key & 0xFFFFFFFF)) if is_ipv4(key) else str(IPv6Address(key))


def is_ipv4(key: int) -> bool:
    """Whether a number is that of an IPv4 address."""
    return key >> IPV4_BITS == 0xFFFF


def translated_ipv4(key: int) -> int | None:
    """Return the IPv4 address behind an address of the NAT64 prefix 64:ff9b::/96 (RFC 6052); None for all others."""
    if key >> IPV4_BITS != NAT64_PREFIX >> IPV4_BITS:
        return None
    return MAPPED | key & 0xFFFFFFFF


@dataclass(slots=True)
class Ranges:
    """A set of networks; the cost of `in` grows with the number of different prefix lengths only."""

    by_shift: dict[int, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, networks: Iterable[str]) -> "Ranges":
        """Return the ranges of some CIDRs; InputError for a text that is none."""
        ranges = cls()
        for cidr in networks:
            ranges.add(cidr)
        return ranges

    def add(self, cidr: str) -> None:
        """Add a network; InputError for a text that is none."""
        address, slash, bits = cidr[:LONGEST_TEXT].partition("/")
        try:
            plain = address_text(address_key(without_leading_zeros(address)))
            network = ip_network(f"{plain}{slash}{bits}", strict=False)
        except (ValueError, InputError) as error:
            raise InputError(f"range {cidr[:60]!r} is no network such as 10.244.0.0/24") from error
        self.add_key(address_key(str(network.network_address)), network.max_prefixlen - network.prefixlen)

    def add_key(self, key: int, host_bits: int) -> None:
        """Add the network of an address."""
        self.by_shift.setdefault(host_bits, set()).add(key >> host_bits)

    def add_neighbourhood(self, key: int) -> None:
        """Add the /24 or /64 around an address."""
        self.add_key(key, NEIGHBOUR_BITS[IPV4_BITS if is_ipv4(key) else IPV6_BITS])

    def __contains__(self, key: int) -> bool:
        return any(key >> shift in prefixes for shift, prefixes in self.by_shift.items())


GLOBAL_UNICAST = Ranges.of(("2000::/3",))  # all that IANA gives out of IPv6
NOT_PUBLIC = Ranges.of(
    (
        # IPv4: private, shared, loopback, link-local, protocols, 6to4 relays, benchmarks, multicast, reserved
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
        "34.118.224.0/20",  # the services of GKE clusters: public, but not announced
        # IPv6, inside 2000::/3: protocols with Teredo and ORCHID, 6to4
        *("2001::/23", "2002::/16"),
    )
)


def is_public(key: int) -> bool:
    """Return whether an address is one of the Internet, which a cluster uses only if configured.

    The ranges for documentation (192.0.2.0/24, 2001:db8::/32 and others) count as public: they stand for the Internet.
    """
    return key not in NOT_PUBLIC and (is_ipv4(key) or key in GLOBAL_UNICAST)
