"""Sizes and formats of the structs in bpf/tcp_connect.h."""

import functools
import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BPF_FOLDER = Path(__file__).resolve().parents[2] / "bpf"
SOURCES = (
    *("maps.c", "sockets.c", "cgroups.c", "flow_entries.c", "kernel_counters.c"),
    *("pending.c", "transitions.c", "volume.c", "blind.c", "tcp_connect.c"),
)  # one text, in this order

Options = Mapping[str, int | str]  # what the agent asks of a loader: entries of tables, and the method

NAME_LEVELS = 8
NAME_BYTES = 96
BUCKET_REFS = 16
BUCKET_OWNERS = 8
SYSTEM_PORTS, USER_PORTS, DYNAMIC_PORTS = 0, 1024, 49152  # first ports of the ranges of sums

ENDPOINTS = struct.Struct("=Q16s16s2sHI")
FLOW = struct.Struct(f"={ENDPOINTS.size}sQQQQQQQII16x")
ACCEPTED = struct.Struct(f"={ENDPOINTS.size}sQQQ56x")
PENDING = struct.Struct(f"={ENDPOINTS.size}sQII")
RECENT = struct.Struct("=16s16sH2sI")
OPEN_SOCKET = struct.Struct("=QQQQQQQ40sIIIIII")
CONNECTION = struct.Struct("=16s16sH2sI")  # what names a connection in RECENT, OPEN_SOCKET and ENDED: one form in all
TASK = struct.Struct("=QII")
NETWORK = struct.Struct("=QQQQ")
NETWORK_SHARDS = 2
RTT_BUCKETS = 16
VOLUME = struct.Struct(f"=QQQQQI20x{RTT_BUCKETS}I")
RESETS_SHIFT = 40
ENDED = struct.Struct("=QQQQQQ40sIII4x")
CGROUP_NAMES = struct.Struct(f"=Q{NAME_LEVELS * NAME_BYTES}s")
BUCKET = struct.Struct(f"={BUCKET_REFS}Q")
OWNERS = struct.Struct(f"={BUCKET_OWNERS}Q")
CONTROL = struct.Struct("=QQII")
USED = struct.Struct("=Q56x")
COUNTER = struct.Struct("=Q")

# Rows of `used`; flows, accepted flows and ended connections have two rows, one per pair.
USED_FLOWS, USED_ACCEPTED, USED_RECENT, USED_NAMES, USED_ENDED, USED_TABLES = 0, 2, 4, 5, 6, 8

# In the order of the enum in the header.
COUNTERS = (
    "flows_full",
    "pending_full",
    "outcome_unmatched",
    "outcome_full",
    "accepted_full",
    "names_full",
    "recent_full",
    "unreadable",
    "kept_full",
    "ended_full",
    "networks_full",
    "end_unseen",
)
OF_SOCKET = 1 << 63  # in the cgroup of an accepted flow
OPEN = 1 << 31  # in the entry of a pending attempt: established

MAPPED_PREFIX = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Capacity:
    """Entries of each BPF table (multiples of 8); they alone determine the kernel memory.

    `volume` is 1 if the program counts what connections carry, else 0: then it has no table of ended connections.
    """

    flows: int
    accepted: int
    pending: int
    recent: int
    cgroups: int
    networks: int = 2048
    ended: int = 0
    volume: int = 0

    @classmethod
    def of(cls, wanted: Options) -> Self:
        """Return the wanted entries of each table, rounded up."""
        wanted = {"networks": 2048, **wanted}
        entries = {name: (int(wanted.get(name, 0)) + 7) // 8 * 8 for name in cls.__slots__ if name != "volume"}
        return cls(**entries, volume=int(entries["ended"] > 0))

    def maps(self) -> dict[str, tuple[int, int]]:
        """Return `(entries, bytes per entry)` of each map, by its name in bpf/maps.c."""
        volumes = {
            "flow_volumes": (2 * self.flows, VOLUME.size),
            "accepted_volumes": (2 * self.accepted, VOLUME.size),
            "ended": (2 * self.ended, ENDED.size),
        }
        return {
            "control": (1, CONTROL.size),
            "flows": (2 * self.flows, FLOW.size),
            "flow_buckets": (2 * (self.flows // 4), BUCKET.size),
            "accepted": (2 * self.accepted, ACCEPTED.size),
            "accepted_buckets": (2 * (self.accepted // 4), BUCKET.size),
            "pending": (self.pending // BUCKET_OWNERS, OWNERS.size + BUCKET_OWNERS * PENDING.size),
            "named_cgroups": (self.cgroups // 2, OWNERS.size),
            "cgroups": (self.cgroups, CGROUP_NAMES.size),
            "shares": (USED_RECENT * self.share_slots(), COUNTER.size),
            "recent": (self.recent, RECENT.size),
            "used": (USED_TABLES, USED.size),
            "counters": (len(COUNTERS), COUNTER.size),
            "named_networks": (self.networks // BUCKET_OWNERS, OWNERS.size),
            "networks": (NETWORK_SHARDS * self.networks, NETWORK.size),
            **(volumes if self.volume else {}),
        }

    def share_slots(self) -> int:
        """Return the rows of `shares` per pair of a table: one per slot of a cgroup, one for all without a slot."""
        return self.cgroups // 2 * BUCKET_OWNERS + 1

    def kernel_bytes(self) -> int:
        """Return the kernel memory of all maps: arrays of whole pages, each with a header of one page."""
        pages = sum(1 + -(-entries * size // 4096) for entries, size in self.maps().values())
        return 4096 * pages


@functools.lru_cache(maxsize=65536)
def address_text(packed: bytes) -> str:
    """Return the canonical text of a 16-byte address; `::ffff:a.b.c.d` becomes `a.b.c.d`."""
    if packed[:12] == MAPPED_PREFIX:
        return "{}.{}.{}.{}".format(*packed[12:])
    return str(ipaddress.IPv6Address(packed))


def packed_address(text: str) -> bytes:
    """Return the 16 bytes of an address as the kernel side stores it."""
    address = ipaddress.ip_address(text)
    return MAPPED_PREFIX + address.packed if address.version == 4 else address.packed


def cgroup_names(value: bytes) -> tuple[str, ...]:
    """Names of a cgroup and its ancestors, leaf first, without the hierarchy's root."""
    names = []
    for start in range(0, NAME_LEVELS * NAME_BYTES, NAME_BYTES):
        name = value[start : start + NAME_BYTES].split(b"\0", 1)[0]
        if not name or name == b"/":
            break
        names.append(name.decode("utf-8", "replace"))
    return tuple(names)
