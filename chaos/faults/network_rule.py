"""The rule of a network fault as the BPF program reads it: `struct rule` of network_rule.h. Standard library only."""

import ipaddress
import struct
from collections.abc import Mapping, Sequence
from typing import Any

MAX_NETWORKS = MAX_PORTS = 16
MAX_NAMES, NAME_BYTES, LABEL_BYTES = 8, 128, 63
ANY_CASE = 0x20  # set in every byte of a name: letters of both cases are the same then
HEAD = struct.Struct("=QQQ" + "I" * 8)
NETWORK_BYTES = 32
RULE_BYTES = HEAD.size + 2 * MAX_NETWORKS * NETWORK_BYTES + 3 * MAX_PORTS * 2 + MAX_NAMES * (8 + NAME_BYTES)
SEEN_AT, HIT_AT = 8, 16
MAPPED = 0xFFFF << 32  # ::ffff:0:0


def pack_network(text: str) -> bytes:
    """Address and mask of a network, IPv4 as mapped IPv6; ValueError for anything else."""
    network = ipaddress.ip_network(text, strict=False)
    address, mask = int(network.network_address), int(network.netmask)
    if network.version == 4:
        address, mask = MAPPED | address, ((1 << 96) - 1) << 32 | mask
    return address.to_bytes(16) + mask.to_bytes(16)


def pack_networks(texts: Sequence[str]) -> bytes:
    """At most 16 networks."""
    if len(texts) > MAX_NETWORKS:
        raise ValueError(f"{len(texts)} networks: expected at most {MAX_NETWORKS}")
    unused = bytes(16) + b"\xff" * 16
    return b"".join(map(pack_network, texts)) + unused * (MAX_NETWORKS - len(texts))


def pack_ports(ports: Sequence[int]) -> bytes:
    """At most 16 ports."""
    if len(ports) > MAX_PORTS or not all(0 < port < 65536 for port in ports):
        raise ValueError(f"{len(ports)} ports: expected at most {MAX_PORTS}, each from 1 to 65535")
    return struct.pack(f"={len(ports)}H", *ports).ljust(MAX_PORTS * 2, b"\0")


def wire_name(text: str) -> bytes:
    """A name as it is asked (RFC 1035, 3.1): labels behind their lengths, and a zero; ValueError for what is none."""
    labels = [label.encode("idna" if not label.isascii() else "ascii") for label in text.rstrip(".").split(".")]
    wire = b"".join(bytes([min(len(label), 255)]) + label for label in labels) + b"\0"
    if not all(0 < len(label) <= LABEL_BYTES for label in labels) or len(wire) > NAME_BYTES:
        raise ValueError(f"name {text[:60]!r}: expected labels of 1 to {LABEL_BYTES} bytes, {NAME_BYTES - 2} in all")
    return wire


def pack_names(names: Sequence[str]) -> bytes:
    """At most 8 names; unused places have the length 0."""
    if len(names) > MAX_NAMES:
        raise ValueError(f"{len(names)} names: expected at most {MAX_NAMES}")
    packed = b""
    for wire in map(wire_name, names):
        packed += struct.pack("=I4x", len(wire)) + bytes(byte | ANY_CASE for byte in wire.ljust(NAME_BYTES, b"\0"))
    return packed.ljust(MAX_NAMES * (8 + NAME_BYTES), b"\0")


def pack_rule(rule: Mapping[str, Any], until_ns: int) -> bytes:
    """The bytes of a rule; ValueError for one that does not fit. Its members are those of `holder`'s order."""
    networks, exempt = rule.get("networks", ()), rule.get("exemptNetworks", ())
    names = rule.get("names", ())
    remote, local, spared = (rule.get(name, ()) for name in ("remotePorts", "localPorts", "exemptPorts"))
    head = HEAD.pack(
        until_ns,
        0,
        0,
        rule.get("per10000", 10_000),
        rule.get("errno", 0),
        int(rule.get("egress", False)),
        rule.get("protocol", 0),
        len(networks),
        len(remote),
        len(local),
        len(names),
    )
    lists = pack_networks(networks) + pack_networks(exempt) + b"".join(map(pack_ports, (remote, local, spared)))
    return head + lists + pack_names(names)
