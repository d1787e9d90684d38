"""Reads the BPF maps through memory mappings: swap, drain and counters need no bpf(2) call.

Needs no capability: BPF_F_MMAPABLE arrays (5.5) are mapped through descriptors that the loader opened. Skipped runs of
the program come from /proc/self/fdinfo (`recursion_misses`, 5.12).
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

SOCKET_ITERATOR = "sockets"  # what the loader calls them, with a number behind
ConnectionKey = tuple[int, bytes, int, bytes, int]  # network namespace, local address and port, remote address and port

libc = ctypes.CDLL(None, use_errno=True)


def wait_grace_period() -> None:
    """Wait for an RCU grace period (membarrier(2), global): every program that was running has ended."""
    if libc.syscall(MEMBARRIER_SYSCALL[platform.machine()], MEMBARRIER_GLOBAL, 0, 0) != 0:
        # nohz_full kernels refuse the call; a program runs for microseconds and never sleeps
        time.sleep(0.05)


@dataclass(slots=True)
class Counts:
    """Sums over all drains of one window: flows and accepted flows by their kernel key."""

    flows: dict[bytes, list[int]] = field(default_factory=dict)
    accepted: dict[bytes, list[int]] = field(default_factory=dict)
    drains: int = 0

    def add_flow(self, key: bytes, attempts: int, last: int, established: int, failed: int, *more: int) -> None:
        """Add one entry of a drained flow table; the errno of the latest drain wins."""
        total, longest, first, error, _pad = more
        sums = self.flows.get(key)
        if sums is None:
            self.flows[key] = [attempts, established, failed, first, last, total, longest, error]
            return
        sums[0] += attempts
        sums[1] += established
        sums[2] += failed
        sums[3] = min(sums[3], first)
        sums[4] = max(sums[4], last)
        sums[5] += total
        sums[6] = max(sums[6], longest)
        sums[7] = error or sums[7]

    def add_accepted(self, key: bytes, accepted: int, last: int, first: int) -> None:
        """Add one entry of a drained table of accepted flows."""
        sums = self.accepted.get(key)
        if sums is None:
            self.accepted[key] = [accepted, first, last]
            return
        sums[0] += accepted
        sums[1] = min(sums[1], first)
        sums[2] = max(sums[2], last)


class Control(ctypes.Structure):
    """`struct control` in kernel memory; assigning a field is one aligned store."""

    _fields_ = (
        ("from_ns", ctypes.c_uint64),
        ("lasting_ns", ctypes.c_uint64),
        ("generation", ctypes.c_uint32),
        ("scan_done", ctypes.c_uint32),
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
        """Detach and unmap every table."""
        self.control = None
        for table in self.tables.values():
            table.close()
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        self.tables, self.descriptors = {}, {}

    def detach(self) -> None:
        """Stop counting; the tables stay readable."""
        os.close(self.descriptors.pop("link"))
        wait_grace_period()

    def count_during(self, from_ns: int, until_ns: int) -> None:
        """Make the program count attempts and accepted connections in `[from_ns, until_ns)`, monotonic time."""
        self.from_ns, self.until_ns = from_ns, max(from_ns, until_ns)
        if self.control is not None:
            self.control.lasting_ns = 0
            self.control.from_ns = self.from_ns
            self.control.lasting_ns = self.until_ns - self.from_ns

    def end_now(self) -> None:
        """Make the program stop counting now, unless its time is already over."""
        self.until_ns = max(self.from_ns, min(self.until_ns, time.monotonic_ns()))
        if self.control is not None:
            self.control.lasting_ns = self.until_ns - self.from_ns

    def mark_scan_done(self) -> None:
        """Make the program stop recording each new connection in `recent`."""
        if self.control is not None:
            self.control.scan_done = 1

    def swap(self) -> int:
        """Switch counting to the other pair of tables; return the pair that is idle afterwards."""
        pair = self.generation & 1
        self.generation += 1
        if self.control is not None:
            self.control.generation = self.generation & 0xFFFFFFFF
        wait_grace_period()
        return pair

    def used_entries(self, row: int, room: int) -> int:
        """Return the number of entries of a table in use, at most `room`."""
        return min(room, int(bpf_structs.USED.unpack_from(self.tables["used"], row * bpf_structs.USED.size)[0]))

    def drain(self, counts: Counts) -> None:
        """Add the entries of the counting pair to `counts`, while the kernel continues in the other pair."""
        pair = self.swap()
        for value in bpf_structs.FLOW.iter_unpack(
            self.drain_table("flows", "flow_buckets", bpf_structs.USED_FLOWS, pair)
        ):
            counts.add_flow(*value)
        for value in bpf_structs.ACCEPTED.iter_unpack(
            self.drain_table("accepted", "accepted_buckets", bpf_structs.USED_ACCEPTED, pair)
        ):
            counts.add_accepted(*value)
        counts.drains += 1

    def drain_table(self, name: str, buckets: str, row: int, pair: int) -> bytes:
        """Return the entries of an idle table and clear it."""
        entries, entry_bytes = self.capacity.maps()[name]
        room = entries // 2
        used_bytes = self.used_entries(row + pair, room) * entry_bytes
        if not used_bytes:
            return b""
        table, start = self.tables[name], pair * room * entry_bytes
        entries_used = table[start : start + used_bytes]
        table[start : start + used_bytes] = bytes(used_bytes)
        half = len(self.tables[buckets]) // 2
        self.tables[buckets][pair * half : (pair + 1) * half] = bytes(half)
        bpf_structs.USED.pack_into(self.tables["used"], (row + pair) * bpf_structs.USED.size, 0)
        return entries_used

    def cgroup_names(self) -> dict[int, tuple[str, ...]]:
        """Return the recorded names of each cgroup, leaf first, `/` for the root of a hierarchy."""
        size = bpf_structs.CGROUP_NAMES.size
        used_bytes = self.used_entries(bpf_structs.USED_NAMES, self.capacity.cgroups) * size
        entries = bpf_structs.CGROUP_NAMES.iter_unpack(self.tables["cgroups"][:used_bytes])
        return {cgroup: bpf_structs.cgroup_names(names) or ("/",) for cgroup, names in entries}

    def recent(self) -> set[tuple[str, int, str, int]]:
        """Return `(local address, local port, remote address, remote port)` of each of `recent_keys`."""
        text = bpf_structs.address_text
        return {
            (text(local), port, text(remote), remote_port) for _, local, port, remote, remote_port in self.recent_keys()
        }

    def recent_keys(self) -> set[ConnectionKey]:
        """Return the connections that either end has seen being made until the scan, as each end sees them."""
        used_bytes = self.used_entries(bpf_structs.USED_RECENT, self.capacity.recent) * bpf_structs.RECENT.size
        return {
            (namespace, local, port, remote, int.from_bytes(remote_port, "big"))
            for local, remote, port, remote_port, namespace in bpf_structs.RECENT.iter_unpack(
                self.tables["recent"][:used_bytes]
            )
        }

    def take_socket_iterator(self) -> int | None:
        """Return the descriptor of an unread iterator; None if there is none left."""
        names = sorted(name for name in self.descriptors if name.startswith(SOCKET_ITERATOR))
        return self.descriptors.pop(names[0]) if names else None

    def counters(self) -> dict[str, int]:
        """Return the program's counters, and `program_missed` (runs that the kernel skipped)."""
        values = struct.unpack_from(f"={len(bpf_structs.COUNTERS)}Q", self.tables["counters"])
        return {**dict(zip(bpf_structs.COUNTERS, values, strict=True)), "program_missed": self.missed_runs()}

    def missed_runs(self) -> int:
        """Return how many runs the kernel skipped because the program was already running on that CPU."""
        path = Path(f"/proc/self/fdinfo/{self.descriptors['program']}")
        for line in path.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "recursion_misses":
                return int(value)
        raise TracerError(f"{path} has no recursion_misses, expected Linux 5.12 or newer", "kernel_too_old")
