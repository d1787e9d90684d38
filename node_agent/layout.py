"""The Python twin of bpf/tcp_connect.h: sizes and formats of what the kernel side counts."""

import functools
import ipaddress
import struct
from pathlib import Path

BPF_FOLDER = Path(__file__).resolve().parent.parent / "bpf"

NAME_LEVELS = 8
NAME_BYTES = 96

FLOW_KEY = struct.Struct("=Q16s16s2sHI")
FLOW = struct.Struct("=QQQQQQQII")
ACCEPTED_KEY = struct.Struct("=Q16s16sHHI")
ACCEPTED = struct.Struct("=QQQ")
RECENT_KEY = struct.Struct("=16s16sH2sI")
CONTROL = struct.Struct("=II")
COUNTER = struct.Struct("=Q")
CGROUP_NAMES_BYTES = NAME_LEVELS * NAME_BYTES

# Order of the enum in the header. The first four of `LOST` lose an attempt; the others lose what their name says.
COUNTERS = (
    "flows_full",
    "pending_full",
    "outcome_unmatched",
    "outcome_full",
    "accepted_full",
    "names_full",
    "recent_full",
    "unreadable",
)

MAPPED_PREFIX = bytes(10) + b"\xff\xff"


@functools.lru_cache(maxsize=65536)
def address_text(packed: bytes) -> str:
    """The canonical text of a 16-byte address; `::ffff:a.b.c.d` is the IPv4 address `a.b.c.d`."""
    if packed[:12] == MAPPED_PREFIX:
        return "{}.{}.{}.{}".format(*packed[12:])
    return str(ipaddress.IPv6Address(packed))


def packed_address(text: str) -> bytes:
    """The 16 bytes of an address as the kernel side stores it."""
    address = ipaddress.ip_address(text)
    return MAPPED_PREFIX + address.packed if address.version == 4 else address.packed


def cgroup_names(value: bytes) -> tuple[str, ...]:
    """Names of a cgroup and its ancestors, leaf first, without the hierarchy's root."""
    names = []
    for start in range(0, CGROUP_NAMES_BYTES, NAME_BYTES):
        name = value[start : start + NAME_BYTES].split(b"\0", 1)[0]
        if not name or name == b"/":
            break
        names.append(name.decode("utf-8", "replace"))
    return tuple(names)
