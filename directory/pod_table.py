"""Pods and their intervals in some 300 bytes a pod: there may be 100,000, and no collector of garbage walks them.

A pod is one `bytes` record below its UID (a number, since UIDs are UUIDs); an address names the UIDs of those that have
or had it. Namespaces, nodes and controllers are kept once and named by number.
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
MOST_INTERVALS = 16  # of one pod: it gets a new one with each sandbox; the oldest go first
SPARE_NAMES = 1000
Shared = str | ControllerReference | None  # a namespace, a node, a controller


class Pod(NamedTuple):
    """What is kept of a pod."""

    uid: str
    namespace: str
    name: str
    node: str
    host_network: bool
    controller: ControllerReference | None


class AddressInterval(NamedTuple):
    """An address of a pod, and when it had it."""

    address: int
    interval: Interval


def uid_key(uid: str) -> OwnerKey:
    """A UID as a number where it is a UUID in canonical text, else as it is."""
    if len(uid) == 36:
        try:
            key = uuid.UUID(uid)
        except ValueError:
            return uid
        return key.int if str(key) == uid else uid
    return uid


def uid_text(key: OwnerKey) -> str:
    """The UID of a key."""
    return key if isinstance(key, str) else str(uuid.UUID(int=key))


@dataclass(slots=True)
class InternTable:
    """Values that many pods share, each with a number."""

    values: list[Shared] = field(default_factory=list)
    numbers: dict[Shared, int] = field(default_factory=dict)

    def number(self, value: Shared) -> int:
        """The number of a value, the same each time."""
        found = self.numbers.get(value)
        if found is None:
            found = self.numbers[value] = len(self.values)
            self.values.append(value)
        return found


@dataclass(slots=True)
class PodTable:
    """Pods by UID, intervals by address; `get` gives a pod as a value, `at` everybody's intervals of an address."""

    records: dict[OwnerKey, bytes] = field(default_factory=dict)
    holders: dict[int, OwnerKey | tuple[OwnerKey, ...]] = field(default_factory=dict)
    shared: InternTable = field(default_factory=InternTable)
    compacted: int = 0

    def __len__(self) -> int:
        return len(self.records)

    def get(self, uid: str) -> Pod | None:
        """The pod of a UID, or None."""
        return self.by_key(uid_key(uid))

    def by_key(self, key: OwnerKey) -> Pod | None:
        """The pod of a UID's key, or None."""
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

    def put(self, pod: Pod, held: Iterable[AddressInterval]) -> None:
        """Keep a pod with its intervals; what was kept of it before is replaced."""
        kept = sorted(held, key=lambda one: one.interval.maybe_to_ns)[-MOST_INTERVALS:]
        key = uid_key(pod.uid)
        before = {one.address for one in self.intervals_of(key)}
        number = self.shared.number
        head = HEAD.pack(number(pod.namespace), number(pod.node), number(pod.controller), pod.host_network, len(kept))
        intervals = [INTERVAL.pack(one.address.to_bytes(16, "big"), *one.interval[1:]) for one in kept]
        self.records[key] = b"".join((head, *intervals, pod.name.encode()))
        now = {one.address for one in kept}
        for address in now - before:
            self.add_holder(address, key)
        for address in before - now:
            self.remove_holder(address, key)

    def add_holder(self, address: int, key: OwnerKey) -> None:
        """Name a pod below an address."""
        there = self.holders.get(address)
        if there is None:
            self.holders[address] = key
        elif isinstance(there, tuple):
            self.holders[address] = (*there, key)
        else:
            self.holders[address] = (there, key)

    def remove_holder(self, address: int, key: OwnerKey) -> None:
        """Name a pod no more below an address."""
        left = tuple(one for one in self.keys_at(address) if one != key)
        if not left:
            self.holders.pop(address, None)
        else:
            self.holders[address] = left[0] if len(left) == 1 else left

    def keys_at(self, address: int) -> tuple[OwnerKey, ...]:
        """The keys of the pods that have or had an address."""
        there = self.holders.get(address)
        if there is None:
            return ()
        return there if isinstance(there, tuple) else (there,)

    def intervals_of(self, key: OwnerKey) -> list[AddressInterval]:
        """The addresses of a pod and when it had them."""
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
        """Everybody's intervals of an address."""
        return [
            one.interval for key in self.keys_at(address) for one in self.intervals_of(key) if one.address == address
        ]

    def drop(self, key: OwnerKey) -> None:
        """Forget a pod."""
        for address in {one.address for one in self.intervals_of(key)}:
            self.remove_holder(address, key)
        self.records.pop(key, None)

    def controllers(self) -> Iterator[str]:
        """The UIDs of the controllers of known pods, and perhaps of some that are known no more."""
        return (value.uid for value in self.shared.values if isinstance(value, ControllerReference))

    def load(self, records: Iterable[tuple[OwnerKey, bytes]], shared: Iterable[Shared]) -> None:
        """Take in records as they were kept, and what they share; ValueError where one is not a record."""
        for value in shared:
            self.shared.number(value)
        self.compacted = len(self.shared.values)
        for key, record in records:
            self.records[key] = record
            try:
                self.by_key(key)
                for address in {one.address for one in self.intervals_of(key)}:
                    self.add_holder(address, key)
            except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(f"the record of pod {uid_text(key)} is not one") from error

    def compact(self) -> None:
        """Let go of shared values that no pod names any more, once they have doubled."""
        if len(self.shared.values) <= 2 * self.compacted + SPARE_NAMES:
            return
        old, self.shared = self.shared.values, InternTable()
        number = self.shared.number
        for key, record in self.records.items():
            namespace, node, controller, host_network, count = HEAD.unpack_from(record)
            head = HEAD.pack(number(old[namespace]), number(old[node]), number(old[controller]), host_network, count)
            self.records[key] = head + record[HEAD.size :]
        self.compacted = len(self.shared.values)
