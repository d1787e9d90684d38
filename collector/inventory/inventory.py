"""One window's inventory: each kind listed, selected, redacted and packed, a page at a time."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from collector.inventory.inventory_parts import InventoryParts
from collector.inventory.owners import Owners
from collector.inventory.redaction import Redaction
from collector.k8s.kinds import KINDS, Kind
from collector.k8s.list_deadline import ListLimits
from collector.k8s.paged_list import Listed, PageSource, list_pages
from directory.selection import Selection
from podsonar.errors import ApiServerError
from podsonar.model import Window
from podsonar.object_identity import identity_fault
from podsonar.settings import CollectorSettings
from podsonar.timestamp import NS_PER_SECOND

CHUNK_OBJECTS = 100
CHUNK_BYTES = 3 << 20  # of JSON: packed it fits a part, however badly it packs
ADDRESS_KINDS = ("Namespace", "Node", "Service", "Pod")  # kinds that own nothing
OnKindListed = Callable[[Kind, Listed], None]


def role_namespaces(settings: CollectorSettings) -> list[str] | None:
    """The namespaces that Roles let us into; None where a ClusterRole lets us into all."""
    if not settings.kubernetes.namespaced:
        return None
    return list(dict.fromkeys(settings.data.observed_namespaces or [settings.kubernetes.namespace]))


def listed_namespaces(settings: CollectorSettings) -> Sequence[str | None]:
    """Which namespaces are listed one by one; None is all of them at once."""
    return role_namespaces(settings) or [None]


def skip_reason(settings: CollectorSettings, kind: Kind) -> str | None:
    """Why the settings leave a kind out, or None."""
    if kind.batch and not settings.data.enable_batch_resources:
        return "disabled"
    if settings.kubernetes.namespaced and not kind.namespaced:
        return "namespaced"
    return None


@dataclass(slots=True)
class Inventory:
    """The state of one window's inventory run; `selection` narrows once the namespaces are known."""

    source: PageSource
    settings: CollectorSettings
    window: Window
    selection: Selection
    owners: Owners = field(default_factory=Owners)
    run: ListLimits = field(default_factory=ListLimits)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    on_kind_listed: OnKindListed = lambda _kind, _listed: None
    namespaces_known: bool = True
    kinds: dict[str, dict[str, Any]] = field(default_factory=dict)
    redaction: Redaction = field(init=False)
    rejected: Counter[str] = field(default_factory=Counter)  # objects, by what they lack

    def __post_init__(self) -> None:
        """Create the redaction from the settings."""
        self.redaction = Redaction(self.settings.redaction.mode, self.settings.redaction.keep)

    def bodies(self, folder: Path) -> Iterator[bytes]:
        """The gzipped bodies of one inventory, made once every kind was listed; StoppedError leaves none.

        Each says how many they are and which kinds are complete. Pods come last: their owners are known by then.
        """
        namespaces = role_namespaces(self.settings) or []
        common = {
            "namespace": namespaces[0] if len(namespaces) == 1 else "",  # of which alone an inventory says what is gone
            "observedNamespaces": self.settings.data.observed_namespaces,
        }
        with closing(InventoryParts(folder, common, [kind.key for kind in KINDS])) as parts:
            for kind in KINDS:
                self.kinds[kind.name] = self.list_kind(kind, parts)
            head = {
                "id": self.id,
                "sequence": self.window.start_ns // NS_PER_SECOND,
                "kinds": self.kinds,
                "redacted": dict(sorted(self.redaction.counts.items())),
                **({"rejected": dict(sorted(self.rejected.items()))} if self.rejected else {}),
            }
            yield from parts.bodies(self.window.wire(), head)

    def listed_bodies(self, folder: Path) -> Iterator[bytes]:
        """The bodies, every kind listed when this returns; ApiServerError where not one kind could be listed whole."""
        bodies = self.bodies(folder)
        first = next(bodies)
        reasons = [kind["reason"] for name, kind in self.kinds.items() if not kind["complete"] and self.was_tried(name)]
        if reasons and not any(kind["complete"] for kind in self.kinds.values()):
            raise ApiServerError(f"not one kind could be listed: {reasons[0]}")
        return chain([first], bodies)

    def was_tried(self, name: str) -> bool:
        """Return whether the settings request a kind."""
        return any(kind.name == name and skip_reason(self.settings, kind) is None for kind in KINDS)

    def list_kind(self, kind: Kind, parts: InventoryParts) -> dict[str, Any]:
        """A kind listed into the parts: whether it is complete, how many objects were taken, and what is wrong."""
        reason = skip_reason(self.settings, kind)
        if kind.namespaced and not self.namespaces_known:
            reason = "namespaces unknown"  # which ones the selector means
        if reason:
            return {"complete": False, "reason": reason}
        count, names, rejected = 0, set[str](), self.rejected.total()
        for namespace in listed_namespaces(self.settings):
            listed = Listed()
            selector = self.settings.data.namespace_selector if kind.name == "Namespace" else ""
            cached = self.settings.kubernetes.use_apiserver_cache
            found = list_pages(self.source, kind, namespace, listed, run=self.run, selector=selector, cached=cached)
            try:
                count += self.add_objects(kind, found, parts, names)
            finally:
                self.on_kind_listed(kind, listed)
            if listed.reason and reason is None:
                several = len(listed_namespaces(self.settings)) > 1
                reason = f"{listed.reason} in {namespace}" if several else listed.reason
        if kind.name == "Namespace" and self.settings.data.namespace_selector:
            self.selection = self.selection.among(names)
            self.namespaces_known = reason is None
        if self.rejected.total() > rejected:
            reason = reason or "objects without an identity"
        return {"complete": reason is None, "count": count, **({"reason": reason} if reason else {})}

    def add_objects(
        self, kind: Kind, found: Iterable[list[dict[str, Any]]], parts: InventoryParts, names: set[str]
    ) -> int:
        """How many objects of the last snapshot were taken; what an expired one gave is void."""
        begin, counts, rejected, count = parts.savepoint(), self.redaction.counts.copy(), self.rejected.copy(), 0
        for page in found:
            if not page:
                parts.roll_back(begin)
                self.redaction.restore(counts)
                self.rejected = rejected.copy()
                names.clear()
                count = 0
                continue
            self.reject_odd(kind, page)
            if kind.name == "Namespace":
                names.update(obj["metadata"]["name"] for obj in page)
            elif kind.name not in ADDRESS_KINDS:
                for obj in page:
                    self.owners.add(kind.name, obj)
            chosen = [obj for obj in page if self.selects(kind, obj)]
            count += len(chosen)
            page.clear()
            chosen.reverse()
            while chosen:  # objects are let go of as soon as they are JSON
                most = min(CHUNK_OBJECTS, parts.room(kind.key), len(chosen))
                group = [chosen.pop() for _ in range(most)]
                for chunk, size in self.chunks(kind.name, group):
                    parts.add(kind.key, chunk, size)
        return count

    def reject_odd(self, kind: Kind, page: list[dict[str, Any]]) -> None:
        """Remove objects without an identity from a page, and count them by the missing part."""
        faults = [identity_fault(obj, namespaced=kind.namespaced) for obj in page]
        if any(faults):
            self.rejected.update(fault for fault in faults if fault)
            page[:] = [obj for obj, fault in zip(page, faults, strict=True) if not fault]

    def selects(self, kind: Kind, obj: dict[str, Any]) -> bool:
        """Whether the settings select an object."""
        meta = obj["metadata"]
        if kind.name == "Node":
            return True
        if kind.name == "Namespace":
            return self.selection.namespace(meta["name"]) is None
        if kind.name != "Pod":
            return self.selection.namespace(meta["namespace"]) is None
        root = self.owners.root(obj)
        return self.selection.pod(meta["namespace"], root) is None

    def chunks(self, kind: str, objects: list[dict[str, Any]]) -> Iterator[tuple[bytes, int]]:
        """The objects' JSON, redacted, in pieces that fit a part, with how many each holds."""
        content = self.redaction.json(kind, objects)
        if len(content) <= CHUNK_BYTES or len(objects) == 1:
            yield content, len(objects)
            return
        middle = len(objects) // 2
        counts = self.redaction.counts.copy()
        for half in (objects[:middle], objects[middle:]):  # redacted before: what is marked is not marked again
            yield from self.chunks(kind, half)
        self.redaction.restore(counts)
