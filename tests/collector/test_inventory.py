"""An inventory is one snapshot of each kind: what an expired snapshot gave is void."""

from typing import Any

import orjson
import pytest

from collector.inventory import OBJECTS_A_PART, bodies
from collector.redaction import Redaction
from discovery.directory import Directory
from discovery.records import Window
from discovery.selection import Selection
from discovery.settings import CollectorSettings, Data

PODS = 1253
SETTINGS = CollectorSettings(data=Data(enable_orphaned_pod=True))


class ExpiringPages:
    """Serves pods in pages and nothing of other kinds; page 3 answers 410 a number of times. Checks no rights.

    The first pod of each snapshot is named by it; an empty page lies in the middle of every list of pods.
    """

    def __init__(self, expires: int, count: int) -> None:
        self.expires, self.count, self.snapshot = expires, count, 0

    def pod(self, number: int) -> dict[str, Any]:
        """A pod with one secret."""
        name = f"p{number}" if number else f"of-snapshot-{self.snapshot}"
        container = {"name": "app", "env": [{"name": "A", "value": "secret"}]}
        return {"metadata": {"uid": name, "name": name, "namespace": "shop"}, "spec": {"containers": [container]}}

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """A page of pods, or an empty list."""
        if not path.endswith("/pods"):
            return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": []})
        place, limit = str(query.get("continue", "0")), int(query["limit"])
        self.snapshot += place == "0"
        if place == "1000" and self.expires:
            self.expires -= 1
            return 410, None, b"{}"
        begin, empty = int(place.removesuffix("-empty")), place == "500-empty"
        end = begin if empty else min(begin + limit, self.count)
        after = "500-empty" if end == limit and not empty else str(end) if end < self.count else ""
        items = [self.pod(number) for number in range(begin, end)]
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7", "continue": after}, "items": items})


def listed(expires: int, count: int = PODS) -> list[dict[str, Any]]:
    """The inventory from a source whose page 3 expires that often."""
    selection = Selection.of(SETTINGS)
    source = ExpiringPages(expires, count)
    return bodies(
        source, SETTINGS, Window(0, 60), selection, Directory(selection), Redaction(), sleep=lambda _seconds: None
    )


@pytest.mark.parametrize("expires", [0, 1, 2])
def test_list_that_expired_and_began_again_holds_one_snapshot(expires: int) -> None:
    """Each pod is there once, from the last snapshot, and so is each count."""
    parts = listed(expires)
    names = [pod["metadata"]["name"] for part in parts for pod in part["podList"]]
    assert names == [f"of-snapshot-{expires + 1}", *(f"p{number}" for number in range(1, PODS))]
    assert parts[0]["inventory"]["kinds"]["Pod"] == {"complete": True, "count": PODS}
    assert parts[0]["inventory"]["redacted"] == {"env": PODS}


def test_list_that_expires_always_is_incomplete_and_empty() -> None:
    """Pieces of expired snapshots are not delivered; the inventory says why the kind is missing."""
    (part,) = listed(99)
    assert part["podList"] == []
    assert part["inventory"]["kinds"]["Pod"] == {"complete": False, "count": 0, "reason": "expired"}
    assert part["inventory"]["kinds"]["Namespace"]["complete"]
    assert part["inventory"]["redacted"] == {}


def test_inventory_of_many_objects_is_cut_into_numbered_parts() -> None:
    """No part holds more than its share, none is empty, and each says how many there are."""
    parts = listed(1, 2 * OBJECTS_A_PART)
    assert [len(part["podList"]) for part in parts] == [OBJECTS_A_PART, OBJECTS_A_PART]
    assert [(part["inventory"]["part"], part["inventory"]["parts"]) for part in parts] == [(1, 2), (2, 2)]
