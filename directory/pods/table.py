"""Pods and their intervals in about 300 bytes per pod: there may be 100,000, and no garbage collection walks them.

A pod is one `bytes` record by its UID (a number, since UIDs are UUIDs); an address has the UIDs of the pods that have
or had it. Namespaces, nodes and controllers are kept once and referred to by number.
"""

import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from directory.interval import Interval, OwnerKey
from podsonar.owner_chain import ControllerReference

HEAD = struct.Struct("<IIIBB")  # namespace, node, controller, host network, number of intervals
INTERVAL = struct.Struct("<16s4q")
MOST_INTERVALS = 16  # per pod: it gets a new one with each sandbox; the oldest go first
SPARE_NAMES = 1000
Shared = str | ControllerReference | None  # a namespace, a node, a controller


class Pod(NamedTuple):
    """The stored fields of a pod."""

    uid: str
    namespace: str
    name: str
    node: str
    host_network: bool
    controller: ControllerReference | None


class AddressInterval(NamedTuple):
    """An address of a pod, and its interval."""

    address: int
    interval: Interval


def uid_key(uid: str) -> OwnerKey:
    """Return a UID as a number if it is a UUID in canonical text, else as it is."""
    if len(uid) == 36:
        try:
            key = uuid.UUID(uid)
        except ValueError:
            return uid
        return key.int if str(key) == uid else uid
    return uid


def uid_text(key: OwnerKey) -> str:
    """Return the UID of a key."""
    return key if isinstance(key, str) else str(uuid.UUID(int=key))


@dataclass(slots=True)
class InternTable:
    """Values that many pods share, each kept once, with a number."""

    values: list[Shared] = field(default_factory=list)
    numbers: dict[Shared, int] = field(default_factory=dict)

    def number(self, value: Shared) -> int:
        """Return the number of a value, the same each time."""
        number = self.numbers.get(value)
        if number is None:
            number = self.numbers[value] = len(self.values)
            self.values.append(value)
        return number


@dataclass(slots=True)
class PodTable:
    """Pods by UID, intervals by address; `get` returns a pod as a value, `at` every owner's intervals of an address."""

    records: dict[OwnerKey, bytes] = field(default_factory=dict)
    holders: dict[int, OwnerKey | tuple[OwnerKey, ...]] = field(default_factory=dict)
    shared: InternTable = field(default_factory=InternTable)
    compacted: int = 0

    def __len__(self) -> int:
        return len(self.records)

    def get(self, uid: str) -> Pod | None:
        """Return the pod of a UID, or None."""
        return self.by_key(uid_key(uid))

    def by_key(self, key: OwnerKey) -> Pod | None:
        """Return the pod of a UID's key, or None."""
        record = self.records.get(key)
        if record is None:
            return None
        namespace, node, controller, host_network, count = HEAD.unpack_from(record)
        values = self.shared.values
        reference = values[controller]
        return Pod(
            uid_text(key),
            str(values[namespace]),
            record[HEAD.size + count * INTERVAL.size :].decode(),
            str(values[node]),
            bool(host_network),
            reference if isinstance(reference, ControllerReference) else None,
        )

    def put(self, pod: Pod, entries: Iterable[AddressInterval]) -> None:
        """Store a pod with its intervals; replace what was stored of it before."""
        stored = sorted(entries, key=lambda entry: entry.interval.maybe_to_ns)[-MOST_INTERVALS:]
        key = uid_key(pod.uid)
        before = {entry.address for entry in self.intervals_of(key)}
        number = self.shared.number
        head = HEAD.pack(number(pod.namespace), number(pod.node), number(pod.controller), pod.host_network, len(stored))
        intervals = [INTERVAL.pack(entry.address.to_bytes(16, "big"), *entry.interval[1:]) for entry in stored]
        self.records[key] = b"".join((head, *intervals, pod.name.encode()))
        now = {entry.address for entry in stored}
        for address in now - before:
            self.add_holder(address, key)
        for address in before - now:
            self.remove_holder(address, key)

    def add_holder(self, address: int, key: OwnerKey) -> None:
        """Add a pod to those of an address."""
        there = self.holders.get(address)
        if there is None:
            self.holders[address] = key
        elif isinstance(there, tuple):
            self.holders[address] = (*there, key)
        else:
            self.holders[address] = (there, key)

    def remove_holder(self, address: int, key: OwnerKey) -> None:
        """Remove a pod from those of an address."""
        left = tuple(holder for holder in self.keys_at(address) if holder != key)
        if not left:
            self.holders.pop(address, None)
        else:
            self.holders[address] = left[0] if len(left) == 1 else left

    def keys_at(self, address: int) -> tuple[OwnerKey, ...]:
        """Return the keys of the pods that have or had an address."""
        there = self.holders.get(address)
        if there is None:
            return ()
        return there if isinstance(there, tuple) else (there,)

    def intervals_of(self, key: OwnerKey) -> list[AddressInterval]:
        """Return the addresses of a pod and when it had them."""
        record = self.records.get(key)
        if record is None:
            return []
        count = record[HEAD.size - 1]
        end = HEAD.size + count * INTERVAL.size
        return [
            AddressInterval(int.from_bytes(address, "big"), Interval(key, *times))
            for address, *times in INTERVAL.iter_unpack(record[HEAD.size : end])
        ]

    def at(self, address: int) -> list[Interval]:
        """Return every owner's intervals of an address."""
        return [
            entry.interval
            for key in self.keys_at(address)
            for entry in self.intervals_of(key)
            if entry.address == address
        ]

    def drop(self, key: OwnerKey) -> None:
        """Remove a pod."""
        for address in {entry.address for entry in self.intervals_of(key)}:
            self.remove_holder(address, key)
        self.records.pop(key, None)

    def controllers(self) -> Iterator[str]:
        """Return the UIDs of the controllers of known pods, and possibly of pods that have been removed."""
        return (value.uid for value in self.shared.values if isinstance(value, ControllerReference))

    def load(self, records: Iterable[tuple[OwnerKey, bytes]], shared: Iterable[Shared]) -> None:
        """Load records as they were stored, and the values that they share; ValueError for a malformed record."""
        for value in shared:
            self.shared.number(value)
        self.compacted = len(self.shared.values)
        for key, record in records:
            self.records[key] = record
            try:
                self.by_key(key)
                for address in {entry.address for entry in self.intervals_of(key)}:
                    self.add_holder(address, key)
            except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(f"the record of pod {uid_text(key)} is not one") from error

    def compact(self) -> None:
        """Drop shared values that no pod refers to, once their number has doubled."""
        if len(self.shared.values) <= 2 * self.compacted + SPARE_NAMES:
            return
        old, self.shared = self.shared.values, InternTable()
        number = self.shared.number
        for key, record in self.records.items():
            namespace, node, controller, host_network, count = HEAD.unpack_from(record)
            head = HEAD.pack(number(old[namespace]), number(old[node]), number(old[controller]), host_network, count)
            self.records[key] = head + record[HEAD.size :]
        self.compacted = len(self.shared.values)
