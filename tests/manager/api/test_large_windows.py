"""Lists and maps of windows that hold far more than anybody reads are bounded in memory, and say what they left out."""

import gzip
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from manager.api.lists import MAX_LIMIT
from tests.manager.fresh_database import fresh_id
from tests.manager.manager_process import MIB, ManagerProcess, manager_process
from tests.manager.shop import WINDOW, inventory, reference

pytestmark = pytest.mark.long

PER_BATCH, BATCHES = 80_000, 5
EDGES = PER_BATCH * BATCHES


def scanned(batch: int, number: int) -> bytes:
    """A record of a pod that connects to an address of its own each time; of every thousandth to a pod."""
    value = batch * PER_BATCH + number
    to_pod = orjson.dumps(reference("cart-1") if value % 1000 == 0 else None)
    return (
        b'{"sourceIP":"10.1.2.40","destinationIP":"203.%d.%d.%d","destinationPort":"443","kubernetes":{"sourcePod":{'
        b'"uid":"uid-load-1"},"destinationPod":%s},"destination":{"kind":"External"},"attempts":1,"established":1}'
    ) % (value >> 16 & 255, value >> 8 & 255, value & 255, to_pod)


@pytest.fixture(scope="module")
def scanned_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """A manager whose one window holds 400,000 connections of a scanning pod."""
    # What a request takes is measured: no map is computed beside it.
    settings = {"PODSONAR_HISTORY_SETTLE_SECONDS": "3600"}
    with manager_process(tmp_path_factory.mktemp("large"), settings=settings) as made:
        assert made.push(inventory()).status_code == 201
        for batch in range(BATCHES):
            records = b",".join(scanned(batch, number) for number in range(PER_BATCH))
            head = orjson.dumps({"nodeName": f"node-{batch}", "window": WINDOW})[:-1]
            answer = made.push(gzip.compress(head + b',"connectionList":[' + records + b"]}", 1), fresh_id())
            assert answer.status_code == 201, answer.text
        yield made


def test_map_of_400000_edges_is_bounded_and_says_what_it_aggregated(scanned_window: ManagerProcess) -> None:
    """At most 512 MiB; the sums over its edges are those of all connections, and named pods have their own edges."""
    scanned_window.reset_peak()
    found = scanned_window.get("/agents/lab/map")
    assert scanned_window.memory("VmHWM") <= 512 * MIB
    print(f"map of {EDGES} edges: {scanned_window.memory('VmHWM') / MIB:.0f} MiB")  # noqa: T201
    edges: list[dict[str, Any]] = found["edges"]
    assert sum(edge["attempts"] for edge in edges) == EDGES
    others = [edge for edge in edges if edge["destination"] == "external/*"]
    assert [edge["attempts"] for edge in others] == [found["aggregated"]["connections"]]
    assert len(edges) == 20_001
    assert found["aggregated"]["notJoined"] == EDGES - 200_000
    # Named destinations come first: all that are among the compared records have their edge.
    (to_cart,) = [edge for edge in edges if edge["destination"] == "service/shop/cart"]
    assert to_cart["attempts"] == EDGES // 1000
    assert {"external/*", "service/shop/cart"} <= {place["id"] for place in found["services"]}


def test_any_page_is_read_from_its_own_blocks(scanned_window: ManagerProcess) -> None:
    """First, middle and last page, and one behind the last; a page over the border of two batches is whole."""
    began = time.perf_counter()
    pages = {page: page_of(scanned_window, page) for page in (0, 79, 80, 399, 400)}
    print(f"a page: {200 * (time.perf_counter() - began):.0f} ms on average")  # noqa: T201
    assert {page: len(items) for page, items in pages.items()} == {0: 1000, 79: 1000, 80: 1000, 399: 1000, 400: 0}
    for page in (0, 79, 80, 399):
        first = page * 1000
        addresses = [item["spec"]["destinationIP"] for item in pages[page]]
        assert addresses[::333] == [f"203.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + 1000, 333)]
    across = scanned_window.get("/agents/lab/connections", page=str(159_999 // 7), limit="7")
    assert len(across["items"]) == 7
    assert {item["spec"]["nodeName"] for item in across["items"]} == {"node-1", "node-2"}
    assert across["page"]["totalItems"] == EDGES


def page_of(running: ManagerProcess, page: int) -> list[dict[str, Any]]:
    """The items of a page of the largest size."""
    items: list[dict[str, Any]] = running.get("/agents/lab/connections", page=str(page), limit=str(MAX_LIMIT))["items"]
    return items


def test_connections_of_a_pod_are_found_by_the_index(scanned_window: ManagerProcess) -> None:
    """Of the pod at the far end, of the scanning one a page, and none of a pod that is unknown."""
    assert len(scanned_window.get("/agents/lab/pods/uid-cart-1/connections")["items"]) == EDGES // 1000
    found = scanned_window.get("/agents/lab/pods/uid-cart-1/connections", page="3", limit="100")
    assert (len(found["items"]), found["page"]["totalItems"]) == (100, EDGES // 1000)
    assert scanned_window.get("/agents/lab/pods/uid-nobody/connections")["items"] == []


def test_whole_list_is_streamed_in_bounded_memory(scanned_window: ManagerProcess) -> None:
    """Without a page all 400,000 connections come, and the manager holds a few blocks of them at a time."""
    scanned_window.reset_peak()
    idle = scanned_window.memory("VmRSS")
    count = size = 0
    headers = {"X-API-Key": scanned_window.key}
    with httpx.stream(
        "GET", f"{scanned_window.url}/api/v1/agents/lab/connections", headers=headers, timeout=120
    ) as answer:
        rest = b""
        for piece in answer.iter_raw():
            size += len(piece)
            text = rest + piece
            count += text.count(b'"destinationPort"')
            rest = text[-16:] if not text.endswith(b'"destinationPort"') else b""
    assert count == EDGES
    assert scanned_window.memory("VmHWM") - idle <= 64 * MIB
    print(f"list of {size / MIB:.0f} MiB: +{(scanned_window.memory('VmHWM') - idle) / MIB:.0f} MiB")  # noqa: T201
