"""The controllers of one inventory, and the root workload above an object, as far as the listed objects show."""

from collections.abc import Mapping
from typing import Any

from podsonar.owner_chain import Controller, api_group, controller_reference, root_controller


class Owners:
    """The controllers of one inventory; add the kinds of controllers before asking for what they own."""

    def __init__(self) -> None:
        self.by_uid: dict[str, Controller] = {}
        self.roots: dict[str, Controller | None] = {}  # by the UID of the lowest controller: many pods share one

    def add(self, kind: str, obj: Mapping[str, Any]) -> None:
        """Add a listed controller."""
        self.roots.clear()
        meta = obj["metadata"]
        self.by_uid[meta["uid"]] = Controller(
            api_group(None, kind),
            kind,
            meta.get("namespace", ""),
            meta["name"],
            meta["uid"],
            controller_reference(obj),
        )

    def root(self, obj: Mapping[str, Any]) -> Controller | None:
        """The controller at the top of an object's owner chain; None if nothing controls it."""
        reference = controller_reference(obj)
        if reference is None:
            return None
        if reference.uid not in self.roots:
            namespace = obj["metadata"].get("namespace", "")
            self.roots[reference.uid] = root_controller(reference, namespace, self.by_uid)
        return self.roots[reference.uid]
