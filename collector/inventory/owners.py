"""Controllers by UID, and the root workload above an object: as far as the listed objects show.

A controller of a kind that is not listed (an Argo `Rollout`, any other custom resource) is known from the reference to
it: it is the root, by kind and name.
"""

from collections.abc import Mapping
from typing import Any

from directory.lookup import Owner
from directory.selection import controller


class Owners:
    """The controllers of one inventory; add kinds before what they own is looked up."""

    def __init__(self) -> None:
        self.by_uid: dict[str, Owner] = {}
        self.roots: dict[str, Owner] = {}  # of controllers whose objects were asked for: pods of one come together

    def add(self, kind: str, obj: Mapping[str, Any]) -> None:
        """Take in a controller, and the one above it if that is known from nowhere else."""
        self.roots.clear()
        meta, above = obj["metadata"], controller(obj)
        namespace = meta.get("namespace", "")
        self.by_uid[meta["uid"]] = Owner(kind, namespace, meta["name"], meta["uid"], above["uid"] if above else None)
        if above and above["uid"] not in self.by_uid:
            self.by_uid[above["uid"]] = Owner(above["kind"], namespace, above["name"], above["uid"], None)

    def root(self, obj: Mapping[str, Any]) -> Owner | None:
        """The controller at the top of an object's owner chain; None where nothing controls it."""
        above = controller(obj)
        if above is None:
            return None
        known = self.roots.get(above["uid"])
        if known is not None:
            return known
        namespace = obj["metadata"].get("namespace", "")
        found = Owner(above["kind"], namespace, above["name"], above["uid"], None)
        seen: set[str] = set()
        uid: str | None = found.uid
        while uid in self.by_uid and uid not in seen:
            seen.add(uid)
            found = self.by_uid[uid]
            uid = found.parent
        self.roots[above["uid"]] = found
        return found
