"""A directory from inventories: what replay resolves with."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from directory.configured_ranges import ConfiguredRanges
from directory.interval import FOREVER, OwnerKey
from directory.inventory_snapshots import OWNER_KINDS, snapshots_of
from directory.lookup import Directory
from directory.object_fields import identity_of
from directory.pods.table import uid_key
from directory.selection import Selection
from podsonar.errors import InputError
from podsonar.object_identity import identity_fault


class InventoryDirectory(NamedTuple):
    """A directory, and how many objects of each kind could not be used, by kind and fault of their identity."""

    directory: Directory
    rejected: Counter[tuple[str, str]]


def directory_from_inventory(
    bodies: Iterable[Mapping[str, Any]], selection: Selection, configured: ConfiguredRanges | None = None
) -> InventoryDirectory:
    """Return the directory of the bodies of one or more inventories.

    What the last one lists is taken to be so since it began, and to stay so: an inventory has no later times. A kind
    that one of them does not have whole is not known whole.
    """
    directory = Directory(selection=selection, configured=configured or ConfiguredRanges())
    rejected: Counter[tuple[str, str]] = Counter()
    before = None
    for snapshot in snapshots_of(bodies):
        at_ns = FOREVER - 1 if before is None else snapshot.end_ns
        known_ns = at_ns if before is None else before.start_ns
        seen: dict[str, set[OwnerKey]] = {kind: set() for kind in snapshot.complete}
        for kind, obj in snapshot.objects():
            try:
                directory.apply(kind, obj, at_ns, known_ns, from_start=before is None)
            except InputError:
                rejected[kind, identity_fault(obj, namespaced=False) or "malformed"] += 1
                directory.incomplete[kind] = f"{kind.lower()}_rejected"
                continue
            seen.setdefault(kind, set()).add(uid_key(identity_of(obj).uid))
        if before is not None:
            for kind in snapshot.complete:
                for uid in directory.missing(kind, seen[kind]):
                    directory.delete(kind, uid, at_ns, known_ns)
        before = snapshot
        directory.incomplete.update(snapshot.incomplete)
    if before is None:
        directory.incomplete = {kind: f"{kind.lower()}_not_listed" for kind in OWNER_KINDS}
    if selection.leaves_namespaces_out:
        directory.incomplete.setdefault("Pod", "namespaces_left_out")
        directory.incomplete.setdefault("Service", "namespaces_left_out")
    return InventoryDirectory(directory, rejected)
