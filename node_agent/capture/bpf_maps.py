"""The kernel side's tables, mapped into this process: swap, drain and counters without one bpf(2) call.

Needs no capability: BPF_F_MMAPABLE arrays (5.5) are mapped through descriptors that the loader opened. What the kernel
says of the program itself is in /proc/self/fdinfo (`recursion_misses`, 5.12).
"""

import ctypes
import mmap
import os
import platform
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from node_agent.privileged import bpf_structs
from node_agent.privileged.bpf_structs import Capacity
from podsonar.errors import TracerError

MEMBARRIER_SYSCALL = {"x86_64": 324, "aarch64": 283}
MEMBARRIER_GLOBAL = 1
MAPPED = ("control", "flows", "flow_buckets", "accepted", "accepted_buckets", "cgroups", "recent", "used", "counters")

libc = ctypes.CDLL(None, use_errno=True)


def wait_for_programs() -> None:
    """Return when every program that was running has ended (membarrier(2), global: an RCU grace period)."""
    if libc.syscall(MEMBARRIER_SYSCALL[platform.machine()], MEMBARRIER_GLOBAL, 0, 0) != 0:
        # nohz_full kernels refuse it; a program runs for microseconds, and is not put to sleep
        time.sleep(0.05)


@dataclass(slots=True)
class Counts:
    """What one window's drains add up to: flows and accepted flows by their kernel key, values as lists of sums."""

    flows: dict[bytes, list[int]] = field(default_factory=dict)
    accepted: dict[bytes, list[int]] = field(default_factory=dict)
    drains: int = 0

    def add_flow(self, key: bytes, attempts: int, last: int, established: int, failed: int, *more: int) -> None:
        """Add one entry of a drained table of flows; the errno of the later drain stands."""
        total, longest, first, error, _pad = more
        held = self.flows.get(key)
        if held is None:
            self.flows[key] = [attempts, established, failed, first, last, total, longest, error]
            return
        held[0] += attempts
        held[1] += established
        held[2] += failed
        held[3] = min(held[3], first)
        held[4] = max(held[4], last)
        held[5] += total
        held[6] = max(held[6], longest)
        held[7] = error or held[7]

    def add_accepted(self, key: bytes, accepted: int, last: int, first: int) -> None:
        """Add one entry of a drained table of accepted flows."""
        held = self.accepted.get(key)
        if held is None:
            self.accepted[key] = [accepted, first, last]
            return
        held[0] += accepted
        held[1] = min(held[1], first)
        held[2] = max(held[2], last)


class Control(ctypes.Structure):
    """`struct control` in the kernel's memory; a field is one aligned store (`struct.pack_into` clears it first)."""

    _fields_ = (
        ("from_ns", ctypes.c_uint64),
        ("lasting_ns", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("looked", ctypes.c_uint32),
    )


class AttachedProgram:
    """The attached program, held by its descriptors; closing them detaches it and frees its tables."""

    def __init__(self, descriptors: dict[str, int], tracer: str, capacity: Capacity) -> None:
        self.descriptors = descriptors
        self.tracer = tracer
        self.capacity = capacity
        self.from_ns = self.until_ns = 0
        self.generation = 0
        self.tables: dict[str, mmap.mmap] = {}
        sizes = capacity.maps()
        for name in MAPPED:
            entries, entry_bytes = sizes[name]
            try:
                self.tables[name] = mmap.mmap(descriptors[name], entries * entry_bytes)
            except OSError as error:
                raise TracerError(f"map {name} of {entries} x {entry_bytes} bytes: {error}", "map_mmap") from error
        self.control: Control | None = Control.from_buffer(self.tables["control"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach and let go of every table."""
        self.control = None
        for table in self.tables.values():
            table.close()
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.tables, self.descriptors = {}, {}

    def detach(self) -> None:
        """Stop counting; the tables stay readable."""
        os.close(self.descriptors.pop("link"))
        wait_for_programs()

    def count_during(self, from_ns: int, until_ns: int) -> None:
        """Let the kernel side count attempts and accepted connections of `[from_ns, until_ns)`, monotonic time."""
        self.from_ns, self.until_ns = from_ns, max(from_ns, until_ns)
        if self.control is not None:
            self.control.lasting_ns = 0
            self.control.from_ns = self.from_ns
            self.control.lasting_ns = self.until_ns - self.from_ns

    def end_now(self) -> None:
        """Let the kernel side count nothing more, unless its time is over already."""
        self.until_ns = max(self.from_ns, min(self.until_ns, time.monotonic_ns()))
        if self.control is not None:
            self.control.lasting_ns = self.until_ns - self.from_ns

    def set_looked(self) -> None:
        """Let the kernel side stop remembering new connections one by one."""
        if self.control is not None:
            self.control.looked = 1

    def swap(self) -> int:
        """Let the kernel side count in the other pair; the pair that is idle when this returns."""
        pair = self.generation & 1
        self.generation += 1
        if self.control is not None:
            self.control.generation = self.generation & 0xFFFFFFFF
        wait_for_programs()
        return pair

    def taken(self, row: int, room: int) -> int:
        """How many entries of a table are in use."""
        return min(room, int(bpf_structs.USED.unpack_from(self.tables["used"], row * bpf_structs.USED.size)[0]))

    def drain(self, counts: Counts) -> None:
        """Add all that the counting pair holds to `counts`, while the kernel goes on counting in the other."""
        pair = self.swap()
        for value in bpf_structs.FLOW.iter_unpack(self.emptied("flows", "flow_buckets", bpf_structs.USED_FLOWS, pair)):
            counts.add_flow(*value)
        for value in bpf_structs.ACCEPTED.iter_unpack(
            self.emptied("accepted", "accepted_buckets", bpf_structs.USED_ACCEPTED, pair)
        ):
            counts.add_accepted(*value)
        counts.drains += 1

    def emptied(self, name: str, buckets: str, row: int, pair: int) -> bytes:
        """The entries of an idle table, which is empty afterwards."""
        entries, entry_bytes = self.capacity.maps()[name]
        room = entries // 2
        used_bytes = self.taken(row + pair, room) * entry_bytes
        if not used_bytes:
            return b""
        table, start = self.tables[name], pair * room * entry_bytes
        held = table[start : start + used_bytes]
        table[start : start + used_bytes] = bytes(used_bytes)
        half = len(self.tables[buckets]) // 2
        self.tables[buckets][pair * half : (pair + 1) * half] = bytes(half)
        bpf_structs.USED.pack_into(self.tables["used"], (row + pair) * bpf_structs.USED.size, 0)
        return held

    def cgroup_names(self) -> dict[int, tuple[str, ...]]:
        """Names of every cgroup that the kernel side had room for, leaf first, `/` for a hierarchy's root."""
        size = bpf_structs.CGROUP_NAMES.size
        used_bytes = self.taken(bpf_structs.USED_NAMES, self.capacity.cgroups) * size
        entries = bpf_structs.CGROUP_NAMES.iter_unpack(self.tables["cgroups"][:used_bytes])
        return {cgroup: bpf_structs.cgroup_names(names) or ("/",) for cgroup, names in entries}

    def recent(self) -> set[tuple[str, int, str, int]]:
        """`(local address, local port, remote address, remote port)` of connections that came up during the look."""
        used_bytes = self.taken(bpf_structs.USED_RECENT, self.capacity.recent) * bpf_structs.RECENT.size
        return {
            (
                bpf_structs.address_text(local),
                port,
                bpf_structs.address_text(remote),
                int.from_bytes(remote_port, "big"),
            )
            for local, remote, port, remote_port, _pad in bpf_structs.RECENT.iter_unpack(
                self.tables["recent"][:used_bytes]
            )
        }

    def counters(self) -> dict[str, int]:
        """The kernel side's counters, and `program_missed` (runs that the kernel skipped)."""
        values = struct.unpack_from(f"={len(bpf_structs.COUNTERS)}Q", self.tables["counters"])
        return {**dict(zip(bpf_structs.COUNTERS, values, strict=True)), "program_missed": self.missed()}

    def missed(self) -> int:
        """How many runs of the program the kernel skipped, since one was running on that CPU already."""
        path = Path(f"/proc/self/fdinfo/{self.descriptors['program']}")
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "recursion_misses":
                return int(value)
        raise TracerError(f"{path} has no recursion_misses, expected Linux 5.12 or newer", "kernel_too_old")
