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
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from node_agent.capture.fair_share import MOST_FLOWS, POD_SHARE, BoundedFlows
from node_agent.capture.kernel_program import map_entries
from node_agent.capture.pod_cgroup import pod_uid
from node_agent.capture.volume_sums import VolumeSums
from node_agent.privileged import bpf_structs
from node_agent.privileged.bpf_structs import Capacity
from podsonar.errors import TracerError

MEMBARRIER_SYSCALL = {"x86_64": 324, "aarch64": 283}
MEMBARRIER_GLOBAL = 1
MAPPED = (
    *("control", "flows", "flow_buckets", "accepted", "accepted_buckets"),
    *("cgroups", "recent", "used", "shares", "counters", "named_networks", "networks"),
)
VOLUME_MAPPED = ("flow_volumes", "accepted_volumes", "ended", "pending")

OF_SOCKET_BYTE = 0x80  # of the last byte of a key's cgroup, which is little-endian
SOCKET_ITERATOR, TASK_ITERATOR = "sockets", "tasks"  # what the loader calls them, with a number behind

libc = ctypes.CDLL(None, use_errno=True)


def wait_grace_period() -> None:
    """Wait for an RCU grace period (membarrier(2), global): every program that was running has ended."""
    if libc.syscall(MEMBARRIER_SYSCALL[platform.machine()], MEMBARRIER_GLOBAL, 0, 0) != 0:
        # nohz_full kernels refuse the call; a program runs for microseconds and never sleeps
        time.sleep(0.05)


class Counts:
    """Sums over all drains of one window: flows and accepted flows by their kernel key, each pod's within its share.

    `volumes` has what their connections carried, `ended` the records of ends that belong to no entry.
    """

    def __init__(self, most: int = MOST_FLOWS, pod_share: int = POD_SHARE, *, with_volumes: bool = False) -> None:
        self.pods: dict[int, str] = {}  # of cgroups that name one
        self.names = 0  # of cgroups read so far
        self.flows = BoundedFlows(map_entries.merge_flow, self.pods, most, pod_share)
        self.accepted = BoundedFlows(map_entries.merge_accepted, self.pods, most, pod_share)
        self.drains = 0
        self.with_volumes = with_volumes
        self.volumes: dict[bytes, VolumeSums] = {}
        self.ended = bytearray()

    def volume_of(self, key: bytes) -> VolumeSums:
        """Return the sums of the volume of a flow, or of what its pod has beyond its share."""
        of_server = key[7] & OF_SOCKET_BYTE
        key = (self.accepted if of_server else self.flows).place_of(key)
        sums = self.volumes.get(key)
        if sums is None:
            sums = self.volumes[key] = VolumeSums()
        return sums

    def settle_volumes(self) -> None:
        """Move the volumes of flows that were summed up meanwhile to the sum."""
        for key, sums in list(self.volumes.items()):
            place = (self.accepted if key[7] & OF_SOCKET_BYTE else self.flows).place_of(key)
            if place != key:
                del self.volumes[key]
                self.volume_of(place).add(sums)

    def add_flow(self, key: bytes, attempts: int, last: int, established: int, failed: int, *more: int) -> None:
        """Add one entry of a drained flow table."""
        total, longest, first, error, _pad = more
        self.flows.add(key, [attempts, established, failed, first, last, total, longest, error])

    def add_accepted(self, key: bytes, accepted: int, last: int, first: int) -> None:
        """Add one entry of a drained table of accepted flows."""
        self.accepted.add(key, [accepted, first, last])

    def add_names(self, entries: Iterable[tuple[int, tuple[str, ...]]]) -> None:
        """Add names of cgroups."""
        for cgroup, names in entries:
            self.names += 1
            uid = pod_uid(names)
            if uid:
                self.pods[cgroup] = uid


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
        for name in (*MAPPED, *(VOLUME_MAPPED if capacity.volume else ())):
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
        named = self.used_entries(bpf_structs.USED_NAMES, self.capacity.cgroups)
        pair = self.swap()  # whoever took one of these entries of names has written them afterwards
        counts.add_names(self.names_between(counts.names, named))
        flow_volumes = self.take_volumes("flow_volumes", bpf_structs.USED_FLOWS, pair)
        accepted_volumes = self.take_volumes("accepted_volumes", bpf_structs.USED_ACCEPTED, pair)
        flows = self.drain_table("flows", "flow_buckets", bpf_structs.USED_FLOWS, pair)
        accepted = self.drain_table("accepted", "accepted_buckets", bpf_structs.USED_ACCEPTED, pair)
        for value in bpf_structs.FLOW.iter_unpack(flows):
            counts.add_flow(*value)
        for value in bpf_structs.ACCEPTED.iter_unpack(accepted):
            counts.add_accepted(*value)
        for entries, size, volumes in (
            (flows, bpf_structs.FLOW.size, flow_volumes),
            (accepted, bpf_structs.ACCEPTED.size, accepted_volumes),
        ):
            for place, values in enumerate(bpf_structs.VOLUME.iter_unpack(volumes)):
                if values[3]:  # the time that connections were open: there is no volume without
                    counts.volume_of(entries[place * size : place * size + bpf_structs.ENDPOINTS.size]).add_ended(
                        values
                    )
        counts.drains += 1
        if self.capacity.volume:
            counts.ended += self.take_entries("ended", bpf_structs.USED_ENDED, pair)
            row = bpf_structs.USED_ENDED + pair
            bpf_structs.USED.pack_into(self.tables["used"], row * bpf_structs.USED.size, 0)

    def take_volumes(self, name: str, row: int, pair: int) -> bytes:
        """Return the volumes beside the entries of an idle table and clear them; none if they are not measured."""
        return self.take_entries(name, row, pair) if self.capacity.volume else b""

    def take_entries(self, name: str, row: int, pair: int) -> bytes:
        """Return the used entries of an idle half and clear them."""
        entries, entry_bytes = self.capacity.maps()[name]
        table, start = self.tables[name], pair * (entries // 2) * entry_bytes
        used_bytes = self.used_entries(row + pair, entries // 2) * entry_bytes
        taken = table[start : start + used_bytes]
        table[start : start + used_bytes] = bytes(used_bytes)
        return taken

    def kept_connections(self) -> tuple[dict[int, map_entries.Kept], int]:
        """Return the attempts and open connections by socket, and how many more entries these sockets have."""
        return map_entries.kept_connections(self.tables["pending"], self.capacity.maps()["pending"][1])

    def drain_table(self, name: str, buckets: str, row: int, pair: int) -> bytes:
        """Return the entries of an idle table and clear it."""
        entries_used = self.take_entries(name, row, pair)
        if not entries_used:
            return b""
        half = len(self.tables[buckets]) // 2
        self.tables[buckets][pair * half : (pair + 1) * half] = bytes(half)
        bpf_structs.USED.pack_into(self.tables["used"], (row + pair) * bpf_structs.USED.size, 0)
        shares = self.capacity.share_slots() * bpf_structs.COUNTER.size
        self.tables["shares"][(row + pair) * shares : (row + pair + 1) * shares] = bytes(shares)
        return entries_used

    def cgroup_names(self) -> dict[int, tuple[str, ...]]:
        """Return the recorded names of each cgroup, leaf first, `/` for the root of a hierarchy."""
        return dict(self.names_between(0, self.used_entries(bpf_structs.USED_NAMES, self.capacity.cgroups)))

    def names_between(self, first: int, end: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield each cgroup with its names, of the entries in `[first, end)`."""
        size = bpf_structs.CGROUP_NAMES.size
        for cgroup, names in bpf_structs.CGROUP_NAMES.iter_unpack(self.tables["cgroups"][first * size : end * size]):
            yield cgroup, bpf_structs.cgroup_names(names) or ("/",)

    def recent(self) -> set[tuple[str, int, str, int]]:
        """Return `(local address, local port, remote address, remote port)` of each of `recent_keys`."""
        return set(map(map_entries.connection_of, self.recent_keys()))

    def recent_keys(self) -> set[bytes]:
        """Return the connections (`CONNECTION`) that either end has seen being made until the scan."""
        size = bpf_structs.RECENT.size
        used_bytes = self.used_entries(bpf_structs.USED_RECENT, self.capacity.recent) * size
        entries = self.tables["recent"][:used_bytes]
        return {entries[start : start + size] for start in range(0, used_bytes, size)}

    def take_socket_iterator(self) -> int | None:
        """Return the descriptor of an unread iterator over sockets; None if there is none left."""
        return self.take_iterator(SOCKET_ITERATOR)

    def take_iterator(self, kind: str) -> int | None:
        """Return the descriptor of an unread iterator of a kind; None if there is none left."""
        names = sorted(name for name in self.descriptors if name.startswith(kind))
        return self.descriptors.pop(names[0]) if names else None

    def network_places(self) -> dict[int, int]:
        """Return the place of each network namespace in the counts of namespaces, by its number."""
        owners = struct.unpack(
            f"={self.capacity.networks}Q", self.tables["named_networks"][: 8 * self.capacity.networks]
        )
        return {number: place for place, number in enumerate(owners) if number}

    def network_counts(self, place: int | None) -> tuple[int, int, int]:
        """Return the connects with a SYN, accepted connections and failed connects of a namespace since attaching."""
        networks = self.tables["networks"]
        return (0, 0, 0) if place is None else map_entries.network_sums(networks, self.capacity.networks, place)

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
