"""What a sender lost is not observed on the map: from a real spool by real pushes to a real manager."""

import time
from contextlib import ExitStack, closing
from copy import deepcopy
from pathlib import Path
from typing import Any

from delivery.batch import Batch
from delivery.push import Pusher
from delivery.spool import Spool
from delivery.token_file import TokenFile
from podsonar.json_gzip import pack
from podsonar.model import Window
from podsonar.settings import AgentConfiguration, ManagerEndpoint
from podsonar.timestamp import parse_rfc3339
from tests.manager import shop
from tests.manager.conftest import Running


def id_of(window: dict[str, str]) -> str:
    """A window's id."""
    return Window(*(parse_rfc3339(window[end]) for end in ("start", "end"))).id


LATER = {"start": "2026-11-24T11:15:00Z", "end": "2026-11-24T11:16:00Z"}
FIRST = id_of(shop.WINDOW)


class Sender:
    """A spool and its pusher."""

    def __init__(self, folder: Path, running: Running, stack: ExitStack) -> None:
        folder.mkdir()
        (folder / "token").write_text(running.token)
        self.spool = stack.enter_context(closing(Spool(folder / "spool")))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=running.url))
        self.pusher = stack.enter_context(closing(Pusher(settings, self.spool, TokenFile(str(folder / "token")))))

    def put(self, name: str, body: dict[str, Any], window: dict[str, str]) -> None:
        """Put a body of a window into the spool."""
        made = deepcopy(body) | {"window": window}
        self.spool.put(Batch(name, "connections", time.time_ns(), pack(made), window=id_of(window)))

    def deliver(self) -> None:
        """Push all that waits."""
        while self.pusher.step().code != "idle":
            pass


def test_lost_batch_makes_its_node_observed_in_part_and_arriving_late_makes_it_whole(
    running: Running, tmp_path: Path
) -> None:
    """Coverage names node and number; what that node would have seen is not claimed; recall compares less."""
    running.push(shop.inventory(), "i-1")
    with ExitStack() as stack:
        node_a, node_b = (Sender(tmp_path / name, running, stack) for name in ("a", "b"))
        to_cart, to_db, outside = shop.NODE_A["connectionList"]
        node_a.put("c-a-1", shop.observed("node-a", [to_cart, outside], shop.NODE_A["acceptedList"]), shop.WINDOW)
        node_a.put("c-a-2", shop.observed("node-a", [to_db], []), shop.WINDOW)
        node_a.put("c-a-3", shop.NODE_A, LATER)
        node_b.put("c-b-1", shop.NODE_B, shop.WINDOW)
        kept = next(path for path in node_a.spool.paths() if "c-a-2" in path.name)
        content = kept.read_bytes()
        kept.unlink()  # another program, a bad disk
        node_a.deliver()
        node_b.deliver()
        found = running.get("/agents/lab/map", window=FIRST)
        assert found["coverage"]["node-a"] | {"start": None, "end": None} == {
            "observed": "part",
            "reason": "batch_missing",
            "missingBatches": 1,
            "start": None,
            "end": None,
            "kernel": {"state": "none", "unseen": 0, "notComparable": 0},
            "nothingMissed": False,
        }
        assert found["coverage"]["node-b"]["observed"] == "whole"
        assert running.get("/agents/lab/map", window=id_of(LATER))["coverage"]["node-a"]["observed"] == "whole"
        less = found["recall"]
        path = node_a.spool.folder / kept.name
        path.write_bytes(content)
    with ExitStack() as stack:
        again = stack.enter_context(closing(Spool(path.parent)))
        settings = AgentConfiguration(manager=ManagerEndpoint(url=running.url))
        pusher = stack.enter_context(closing(Pusher(settings, again, TokenFile(str(tmp_path / "a" / "token")))))
        assert pusher.step().code == "201"
    found = running.get("/agents/lab/map", window=FIRST)
    assert found["coverage"]["node-a"]["observed"] == "whole"
    assert "missingBatches" not in found["coverage"]["node-a"]
    assert (less["value"], less["accepted"]) == (1.0, 34)
    assert less["notComparable"]["node_observed_in_part"] == 5
    assert (found["recall"]["value"], found["recall"]["accepted"]) == (1.0, 39)


def test_window_of_which_nothing_came_names_the_missing_batch(running: Running, tmp_path: Path) -> None:
    """Not `no_report`: the node has sent something that is gone; the windows beside it stay whole."""
    running.push(shop.inventory(), "i-1")
    between = {"start": "2026-11-24T10:45:00Z", "end": "2026-11-24T10:46:00Z"}
    with ExitStack() as stack:
        node_a, node_b = (Sender(tmp_path / name, running, stack) for name in ("a", "b"))
        for name, window in (("c-1", shop.WINDOW), ("c-2", between), ("c-3", LATER)):
            node_a.put(name, shop.NODE_A, window)
            node_b.put(name + "-b", shop.NODE_B, window)
        node_a.spool.quarantine("c-2")
        node_a.deliver()
        node_b.deliver()
    states = {
        window["start"]: running.get("/agents/lab/map", window=id_of(window))["coverage"]["node-a"]
        for window in (shop.WINDOW, between, LATER)
    }
    assert [(one["observed"], one["reason"]) for one in states.values()] == [
        ("whole", None),
        ("none", "batch_missing"),
        ("whole", None),
    ]


def test_replayed_pushes_and_odd_numbers_change_no_coverage(running: Running, tmp_path: Path) -> None:
    """A push sent again, a number that another batch had, and a header that is none: stored, counted, no gap."""
    running.push(shop.inventory(), "i-1")
    header = {"Podsonar-Sequence": "sender=5f0c41d29b3e8a76, number=7, first=7"}
    for _ in range(3):
        assert running.push(shop.NODE_A, "c-7", **header).status_code == 201
    assert running.push(shop.NODE_A, "c-8", **header).json()["stored"] is True
    for number, odd in enumerate(("", "sender=x", "sender=5f0c41d29b3e8a76, number=99999999999999999, first=1", "é")):
        headers = {"Podsonar-Sequence": odd.encode()}
        assert running.push(shop.NODE_A, f"odd-{number}", **headers).json()["stored"] is True  # type: ignore[arg-type]
    assert running.get("/agents/lab/map")["coverage"]["node-a"]["observed"] == "whole"
