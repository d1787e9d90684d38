"""An inventory is one snapshot of each kind, in parts that count together only; an expired one is void."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.inventory.inventory import Inventory
from collector.inventory.inventory_parts import PART_BYTES, PART_OBJECTS
from collector.inventory.redacted_fields import Mode
from collector.k8s.list_deadline import ListLimits, StoppedError
from directory.selection import Selection
from manager.schema.push_schema import InventoryPart, read_batch
from podsonar.json_gzip import inflated, unpack
from podsonar.model import Window
from podsonar.settings import CollectorSettings, Data, RedactionSettings

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
        begin, empty = int(place.removesuffix("-empty")), place == "500-empty"
        if begin >= 1000 and self.expires:
            self.expires -= 1
            return 410, None, b"{}"
        end = begin if empty else min(begin + limit, self.count)
        after = "500-empty" if end == 500 and not empty else str(end) if end < self.count else ""
        items = [self.pod(number) for number in range(begin, end)]
        metadata = {"resourceVersion": f"of-{self.snapshot}", "continue": after}
        return 200, None, orjson.dumps({"metadata": metadata, "items": items})


def inventory_from(source: Any, settings: CollectorSettings = SETTINGS, run: ListLimits | None = None) -> Inventory:
    """An inventory of a source, not listed yet, that waits for nothing."""
    return Inventory(
        source,
        settings,
        Window(0, 60_000_000_000),
        Selection.of(settings),
        run=run or ListLimits(lambda _seconds: None),
    )


def listed(folder: Path, expires: int, count: int = PODS) -> list[dict[str, Any]]:
    """The inventory from a source whose page 3 expires that often."""
    return [unpack(payload) for payload in inventory_from(ExpiringPages(expires, count)).bodies(folder)]


@pytest.mark.parametrize("expires", [0, 1, 2])
def test_row_55_list_that_expired_and_began_again_holds_one_snapshot(tmp_path: Path, expires: int) -> None:
    """Each pod is there once, from the last snapshot, and so is each count."""
    parts = listed(tmp_path, expires)
    names = [pod["metadata"]["name"] for part in parts for pod in part["podList"]]
    assert names == [f"of-snapshot-{expires + 1}", *(f"p{number}" for number in range(1, PODS))]
    assert parts[0]["inventory"]["kinds"]["Pod"] == {"complete": True, "count": PODS}
    assert parts[0]["inventory"]["redacted"] == {"env": PODS}


def test_row_55_list_that_expires_always_is_incomplete_and_empty(tmp_path: Path) -> None:
    """Pieces of expired snapshots are not delivered; the inventory has the reason why the kind is missing."""
    (part,) = listed(tmp_path, 99)
    assert part["podList"] == []
    assert part["inventory"]["kinds"]["Pod"] == {"complete": False, "count": 0, "reason": "expired"}
    assert part["inventory"]["kinds"]["Namespace"]["complete"]
    assert part["inventory"]["redacted"] == {}


def test_inventory_of_many_objects_is_cut_into_numbered_parts(tmp_path: Path) -> None:
    """No part holds more than its share, none is empty, each has every list and the number of parts."""
    parts = listed(tmp_path, 1, 2 * PART_OBJECTS)
    assert [len(part["podList"]) for part in parts] == [PART_OBJECTS, PART_OBJECTS]
    assert [(part["inventory"]["part"], part["inventory"]["parts"]) for part in parts] == [(1, 2), (2, 2)]
    assert (
        parts[0].keys() == parts[1].keys() >= {"nodeList", "cronJobList", "namespace", "observedNamespaces", "window"}
    )


def test_part_is_small_however_badly_its_objects_pack(tmp_path: Path) -> None:
    """Objects of noise fill parts of at most 4 MiB, and every one of them arrives."""
    from hashlib import shake_256

    class Noise(ExpiringPages):
        def pod(self, number: int) -> dict[str, Any]:
            pod = super().pod(number)
            pod["metadata"]["finalizers"] = [shake_256(str(number).encode()).hexdigest(20_000)]
            return pod

    payloads = list(inventory_from(Noise(0, 600)).bodies(tmp_path))
    assert len(payloads) > 2
    assert max(map(len, payloads)) <= PART_BYTES
    assert sum(len(unpack(payload)["podList"]) for payload in payloads) == 600


class FakeObjects:
    """Serves these items in every list of pods, nothing of other kinds. Checks no rights."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def page(self, path: str, _query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """One page."""
        items = self.items if path.endswith("/pods") else []
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": items})


HEALTHY = {"metadata": {"name": "healthy", "namespace": "bank", "uid": "u2"}, "spec": {}, "status": {}}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (None, "not_an_object"),
        ([], "not_an_object"),
        ("pod", "not_an_object"),
        ({}, "no_metadata"),
        ({"metadata": None}, "no_metadata"),
        ({"metadata": {"name": "p", "namespace": "shop"}}, "no_uid"),
        ({"metadata": {"name": "p", "namespace": "shop", "uid": 7}}, "no_uid"),
        ({"metadata": {"name": "p", "namespace": "shop", "uid": "u" * 129}}, "no_uid"),
        ({"metadata": {"name": "", "namespace": "shop", "uid": "u"}}, "no_name"),
        ({"metadata": {"name": "n" * 254, "namespace": "shop", "uid": "u"}}, "no_name"),
        ({"metadata": {"name": "p", "uid": "u"}}, "no_namespace"),
        ({"metadata": {"name": "p", "namespace": "n" * 64, "uid": "u"}}, "no_namespace"),
    ],
)
def test_object_without_an_identity_is_left_out_alone_and_counted(tmp_path: Path, odd: Any, reason: str) -> None:
    """What stands beside it is delivered and stored; the kind is not called complete, since something is missing."""
    inventory = inventory_from(FakeObjects([odd, HEALTHY]))
    (payload,) = inventory.bodies(tmp_path)
    part = read_batch(inflated(payload))
    assert isinstance(part, InventoryPart)
    assert [pod["metadata"]["name"] for pod in part.objects["Pod"]] == ["healthy"]
    assert inventory.rejected == {reason: 1}
    assert inventory.kinds["Pod"] == {"complete": False, "count": 1, "reason": "objects without an identity"}


@pytest.mark.parametrize(
    "odd",
    [
        {"status": {"containerStatuses": [{"lastState": {"terminated": {"message": "core \0 dumped"}}}]}},
        {"status": {"reason": "core \0 dumped"}},
        {"spec": {"nodeName": "n\0"}},
        {"spec": {"containers": [{"name": "c", "args": ["\0"], "image": "\0:1"}]}},
        {"spec": {"of\0tomorrow": "x"}},
        {"spec": {"of tomorrow": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}},
    ],
)
@pytest.mark.parametrize("mode", ["structure", "patterns"])
def test_odd_string_voids_nothing_beside_it(tmp_path: Path, odd: dict[str, Any], mode: Mode) -> None:
    """What the collector lets through the manager takes: both objects arrive, the odd one cleaned."""
    settings = CollectorSettings(data=SETTINGS.data, redaction=RedactionSettings(mode=mode))
    pod = {"metadata": {"name": "crashed", "namespace": "shop", "uid": "u1", "annotations": {"a": "\0"}}, **odd}
    (payload,) = inventory_from(FakeObjects([pod, HEALTHY]), settings).bodies(tmp_path)
    part = read_batch(inflated(payload))
    assert isinstance(part, InventoryPart)
    assert [pod["metadata"]["name"] for pod in part.objects["Pod"]] == ["crashed", "healthy"]
    assert part.complete["Pod"]
    assert (part.rejected.objects, part.rejected.characters) == ({}, 0)


@pytest.mark.parametrize("after_requests", [1, 5, 12])
def test_stop_in_the_middle_leaves_no_part_and_no_file(tmp_path: Path, after_requests: int) -> None:
    """SIGTERM while a window is listed: nothing to send, nothing on disk."""
    source = ExpiringPages(0, 5000)
    asked: list[str] = []

    class Counted:
        def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
            asked.append(path)
            return source.page(path, query)

    run = ListLimits(lambda _seconds: None, stopped=lambda: len(asked) >= after_requests)
    with pytest.raises(StoppedError):
        list(inventory_from(Counted(), run=run).bodies(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_run_limit_makes_what_is_left_incomplete(tmp_path: Path) -> None:
    """A window's lists end with its time; kinds that were not reached say so."""
    moments = iter(range(1000))
    run = ListLimits(lambda _seconds: None, clock=lambda: next(moments), deadline=20)
    (part,) = (unpack(payload) for payload in inventory_from(ExpiringPages(0, PODS), run=run).bodies(tmp_path))
    kinds = part["inventory"]["kinds"]
    assert kinds["Namespace"]["complete"]
    assert (kinds["Pod"]["complete"], kinds["Pod"]["reason"]) == (False, "run limit")
