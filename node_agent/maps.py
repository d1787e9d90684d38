"""The kernel side's maps through open descriptors: swap, drain and counters by the bpf system call, no capability.

bpf(2), include/uapi/linux/bpf.h: batch operations since 5.6; allowed on open descriptors without CAP_BPF since 5.19.
"""

import ctypes
import errno
import os
import platform
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from discovery.errors import TracerError
from node_agent import layout

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
LOOKUP, UPDATE, OBJECT_INFO = 1, 2, 15
LOOKUP_AND_DELETE_BATCH, LOOKUP_BATCH = 25, 24
MEMBARRIER_SYSCALL = {"x86_64": 324, "aarch64": 283}
MEMBARRIER_GLOBAL = 1
BATCH = 4096
PROGRAM_INFO = struct.Struct("=208xQ8x")  # bpf_prog_info: recursion_misses at 208
LOST_ATTEMPTS = ("flows_full", "unreadable")

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """0 or the errno of one bpf system call."""
    number = BPF_SYSCALL.get(platform.machine())
    if number is None:
        raise TracerError(f"machine {platform.machine()}, expected one of {', '.join(BPF_SYSCALL)}", "architecture")
    if libc.syscall(number, command, attributes, len(attributes)) >= 0:
        return 0
    return ctypes.get_errno()


def wait_for_programs() -> None:
    """Return when every program that was running has ended (membarrier(2), global: an RCU grace period)."""
    if libc.syscall(MEMBARRIER_SYSCALL[platform.machine()], MEMBARRIER_GLOBAL, 0, 0) != 0:
        # nohz_full kernels refuse it; a program runs for microseconds, and is not put to sleep
        time.sleep(0.05)


def lookup(map_fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """The value under a key, or None."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    attributes = struct.pack("=IIQQQ", map_fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value), 0)
    failed = bpf(LOOKUP, ctypes.create_string_buffer(attributes, len(attributes)))
    if failed == errno.ENOENT:
        return None
    if failed:
        raise TracerError(f"map lookup: {os.strerror(failed)}", "map_lookup")
    return value.raw


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Store a value; TracerError where the kernel refuses."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value_buffer = ctypes.create_string_buffer(value, len(value))
    attributes = struct.pack("=IIQQQ", map_fd, 0, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), 0)
    failed = bpf(UPDATE, ctypes.create_string_buffer(attributes, len(attributes)))
    if failed:
        raise TracerError(f"map update: {os.strerror(failed)}", "map_update")


def batches(map_fd: int, key_bytes: int, value_bytes: int, command: int) -> Iterator[tuple[memoryview, memoryview]]:
    """Keys and values of a hash map, a batch at a time; with LOOKUP_AND_DELETE_BATCH the map is empty afterwards."""
    room = BATCH
    place = ctypes.create_string_buffer(8)
    first = True
    while True:
        keys, values = ctypes.create_string_buffer(room * key_bytes), ctypes.create_string_buffer(room * value_bytes)
        attributes = ctypes.create_string_buffer(
            struct.pack(
                "=QQQQIIQQ",
                0 if first else ctypes.addressof(place),
                ctypes.addressof(place),
                ctypes.addressof(keys),
                ctypes.addressof(values),
                room,
                map_fd,
                0,
                0,
            ),
            56,
        )
        failed = bpf(command, attributes)
        count = struct.unpack_from("=I", attributes.raw, 32)[0]
        if failed == errno.ENOSPC and not count:
            room *= 2  # one hash bucket holds more than the room given
            continue
        if failed not in (0, errno.ENOENT, errno.ENOSPC):
            raise TracerError(f"map batch: {os.strerror(failed)}", "map_drain")
        if count:
            yield memoryview(keys)[: count * key_bytes], memoryview(values)[: count * value_bytes]
        if failed == errno.ENOENT:
            return
        first = False


@dataclass(slots=True)
class Counts:
    """What one window's drains add up to: flows and accepted flows by their kernel key, values as lists of sums."""

    flows: dict[bytes, list[int]] = field(default_factory=dict)
    accepted: dict[bytes, list[int]] = field(default_factory=dict)
    drains: int = 0

    def add_flow(self, key: bytes, value: tuple[int, ...]) -> None:
        """Add one entry of a drained flow map; the errno of the later drain stands."""
        held = self.flows.get(key)
        if held is None:
            self.flows[key] = list(value)
            return
        attempts, established, failed, first, last, total, longest, error, _pad = value
        held[0] += attempts
        held[1] += established
        held[2] += failed
        held[3] = min(held[3], first)
        held[4] = max(held[4], last)
        held[5] += total
        held[6] = max(held[6], longest)
        held[7] = error or held[7]

    def add_accepted(self, key: bytes, value: tuple[int, ...]) -> None:
        """Add one entry of a drained map of accepted flows."""
        held = self.accepted.get(key)
        if held is None:
            self.accepted[key] = list(value)
            return
        held[0] += value[0]
        held[1] = min(held[1], value[1])
        held[2] = max(held[2], value[2])


class Tracer:
    """The attached program, held by its descriptors; closing them detaches it and frees its maps."""

    def __init__(self, descriptors: dict[str, int], tracer: str, attached_ns: int) -> None:
        self.descriptors = descriptors
        self.tracer = tracer
        self.attached_ns = attached_ns
        self.active = 0
        self.looked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach and let go of every map."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.descriptors = {}

    def detach(self) -> None:
        """Stop counting; the maps stay readable."""
        os.close(self.descriptors.pop("link"))
        wait_for_programs()

    def set_control(self, *, active: int, looked: int) -> None:
        """Choose the counting pair; until `looked`, new connections are remembered one by one."""
        self.active, self.looked = active, looked
        update(self.descriptors["control"], struct.pack("=I", 0), layout.CONTROL.pack(active, looked))

    def drain(self, counts: Counts) -> None:
        """Add all that the counting pair holds to `counts`, while the kernel goes on counting in the other."""
        suffix = "b" if self.active else "a"
        self.set_control(active=1 - self.active, looked=self.looked)
        wait_for_programs()
        flows = batches(
            self.descriptors[f"flows_{suffix}"], layout.FLOW_KEY.size, layout.FLOW.size, LOOKUP_AND_DELETE_BATCH
        )
        for keys, values in flows:
            for number, value in enumerate(layout.FLOW.iter_unpack(values)):
                counts.add_flow(bytes(keys[number * layout.FLOW_KEY.size : (number + 1) * layout.FLOW_KEY.size]), value)
        accepted = batches(
            self.descriptors[f"accepted_{suffix}"],
            layout.ACCEPTED_KEY.size,
            layout.ACCEPTED.size,
            LOOKUP_AND_DELETE_BATCH,
        )
        for keys, values in accepted:
            size = layout.ACCEPTED_KEY.size
            for number, value in enumerate(layout.ACCEPTED.iter_unpack(values)):
                counts.add_accepted(bytes(keys[number * size : (number + 1) * size]), value)
        counts.drains += 1

    def cgroup_names(self, cgroup: int) -> tuple[str, ...]:
        """Names of a cgroup, leaf first, `/` for a hierarchy's root; empty where the kernel had no room for them."""
        value = lookup(self.descriptors["cgroups"], struct.pack("=Q", cgroup), layout.CGROUP_NAMES_BYTES)
        return (layout.cgroup_names(value) or ("/",)) if value else ()

    def recent(self) -> set[tuple[str, int, str, int]]:
        """`(local address, local port, remote address, remote port)` of connections that came up during the look."""
        seen = set()
        for keys, _values in batches(self.descriptors["recent"], layout.RECENT_KEY.size, 1, LOOKUP_BATCH):
            for local, remote, port, remote_port, _pad in layout.RECENT_KEY.iter_unpack(keys):
                seen.add(
                    (layout.address_text(local), port, layout.address_text(remote), int.from_bytes(remote_port, "big"))
                )
        return seen

    def counters(self) -> dict[str, int]:
        """The kernel side's counters, summed over CPUs, and `program_missed` (runs that the kernel skipped)."""
        cpus = possible_cpus()
        totals = {}
        for index, name in enumerate(layout.COUNTERS):
            value = lookup(self.descriptors["counters"], struct.pack("=I", index), 8 * cpus) or b""
            totals[name] = sum(struct.unpack(f"={cpus}Q", value))
        info = ctypes.create_string_buffer(PROGRAM_INFO.size)
        attributes = struct.pack("=IIQ", self.descriptors["program"], len(info), ctypes.addressof(info))
        failed = bpf(OBJECT_INFO, ctypes.create_string_buffer(attributes, len(attributes)))
        totals["program_missed"] = 0 if failed else PROGRAM_INFO.unpack(info.raw)[0]
        return totals


def possible_cpus() -> int:
    """How many per-CPU values the kernel returns (/sys/devices/system/cpu/possible: `0-3` or `0`)."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().strip().rpartition("-")[2]) + 1
