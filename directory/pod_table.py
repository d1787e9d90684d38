"""Pods and their tenures in some 300 bytes a pod: there may be 100,000, and no collector of garbage walks them.

A pod is one `bytes` record below its UID (a number, since UIDs are UUIDs); an address names the UIDs of those that have
or had it. Namespaces, nodes and controllers are kept once and named by number.
"""

import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from directory.interval import Interval, Owner

HEAD = struct.Struct("<IIIBB")  # namespace, node, controller, host network, number of tenures
TENURE = struct.Struct("<16s4q")
MOST_TENURES = 16  # of one pod: it gets a new one with each sandbox; the oldest go first
SPARE_NAMES = 1000
Shared = str | tuple[str, str, str] | None  # a namespace, a node; a controller: UID, kind, name


class Pod(NamedTuple):
    """What is kept of a pod."""

    uid: str
    namespace: str
    name: str
    node: str
    host_network: bool
    owner: str | None
    owner_kind: str | None
    owner_name: str | None


class Held(NamedTuple):
    """An address of a pod, and when it had it."""

    address: int
    tenure: Interval


def uid_key(uid: str) -> Owner:
    """A UID as a number where it is a UUID in canonical text, else as it is."""
    if len(uid) == 36:
        try:
            key = uuid.UUID(uid)
        except ValueError:
            return uid
        return key.int if str(key) == uid else uid
    return uid


def uid_text(key: Owner) -> str:
    """The UID of a key."""
    return key if isinstance(key, str) else str(uuid.UUID(int=key))


@dataclass(slots=True)
class Numbered:
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
    """Pods by UID, tenures by address; `get` gives a pod as a value, `at` everybody's tenures of an address."""

    records: dict[Owner, bytes] = field(default_factory=dict)
    holders: dict[int, Owner | tuple[Owner, ...]] = field(default_factory=dict)
    shared: Numbered = field(default_factory=Numbered)
    compacted: int = 0

    def __len__(self) -> int:
        return len(self.records)

    def get(self, uid: str) -> Pod | None:
        """The pod of a UID, or None."""
        return self.by_key(uid_key(uid))

    def by_key(self, key: Owner) -> Pod | None:
        """The pod of a UID's key, or None."""
        record = self.records.get(key)
        if record is None:
            return None
        namespace, node, controller, host_network, count = HEAD.unpack_from(record)
        values = self.shared.values
        owner, kind, name = values[controller] or (None, None, None)
        return Pod(
            uid_text(key),
            str(values[namespace]),
            record[HEAD.size + count * TENURE.size :].decode(),
            str(values[node]),
            bool(host_network),
            owner,
            kind,
            name,
        )

    def put(self, pod: Pod, held: Iterable[Held]) -> None:
        """Keep a pod with its tenures; what was kept of it before is replaced."""
        kept = sorted(held, key=lambda one: one.tenure.maybe_to_ns)[-MOST_TENURES:]
        key = uid_key(pod.uid)
        before = {one.address for one in self.held(key)}
        controller = (pod.owner, pod.owner_kind or "", pod.owner_name or "") if pod.owner else None
        number = self.shared.number
        head = HEAD.pack(number(pod.namespace), number(pod.node), number(controller), pod.host_network, len(kept))
        tenures = [TENURE.pack(one.address.to_bytes(16, "big"), *one.tenure[1:]) for one in kept]
        self.records[key] = b"".join((head, *tenures, pod.name.encode()))
        now = {one.address for one in kept}
        for address in now - before:
            self.enter(address, key)
        for address in before - now:
            self.leave(address, key)

    def enter(self, address: int, key: Owner) -> None:
        """Name a pod below an address."""
        there = self.holders.get(address)
        if there is None:
            self.holders[address] = key
        elif isinstance(there, tuple):
            self.holders[address] = (*there, key)
        else:
            self.holders[address] = (there, key)

    def leave(self, address: int, key: Owner) -> None:
        """Name a pod no more below an address."""
        left = tuple(one for one in self.keys_at(address) if one != key)
        if not left:
            self.holders.pop(address, None)
        else:
            self.holders[address] = left[0] if len(left) == 1 else left

    def keys_at(self, address: int) -> tuple[Owner, ...]:
        """The keys of the pods that have or had an address."""
        there = self.holders.get(address)
        if there is None:
            return ()
        return there if isinstance(there, tuple) else (there,)

    def held(self, key: Owner) -> list[Held]:
        """The addresses of a pod and when it had them."""
        record = self.records.get(key)
        if record is None:
            return []
        count = record[HEAD.size - 1]
        end = HEAD.size + count * TENURE.size
        return [
            Held(int.from_bytes(address, "big"), Interval(key, *times))
            for address, *times in TENURE.iter_unpack(record[HEAD.size : end])
        ]

    def at(self, address: int) -> list[Interval]:
        """Everybody's tenures of an address."""
        return [one.tenure for key in self.keys_at(address) for one in self.held(key) if one.address == address]

    def drop(self, key: Owner) -> None:
        """Forget a pod."""
        for address in {one.address for one in self.held(key)}:
            self.leave(address, key)
        self.records.pop(key, None)

    def controllers(self) -> Iterator[str]:
        """The UIDs of the controllers of known pods, and perhaps of some that are known no more."""
        return (str(value[0]) for value in self.shared.values if isinstance(value, tuple))

    def load(self, records: Iterable[tuple[Owner, bytes]], shared: Iterable[Shared]) -> None:
        """Take in records as they were kept, and what they share; ValueError where one is not a record."""
        for value in shared:
            self.shared.number(value)
        self.compacted = len(self.shared.values)
        for key, record in records:
            self.records[key] = record
            try:
                self.by_key(key)
                for address in {one.address for one in self.held(key)}:
                    self.enter(address, key)
            except (struct.error, IndexError, TypeError, UnicodeDecodeError) as error:
                raise ValueError(f"the record of pod {uid_text(key)} is not one") from error

    def compact(self) -> None:
        """Let go of shared values that no pod names any more, once they have doubled."""
        if len(self.shared.values) <= 2 * self.compacted + SPARE_NAMES:
            return
        old, self.shared = self.shared.values, Numbered()
        number = self.shared.number
        for key, record in self.records.items():
            namespace, node, controller, host_network, count = HEAD.unpack_from(record)
            head = HEAD.pack(number(old[namespace]), number(old[node]), number(old[controller]), host_network, count)
            self.records[key] = head + record[HEAD.size :]
        self.compacted = len(self.shared.values)
