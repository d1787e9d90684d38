"""Faults between the collector and a real API server: got over, or the kind is incomplete; never a silent gap."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from collector.k8s.paged_list import PAGE_OBJECTS
from tests.cluster.collected import PODS_PATH, Collected, pods
from tests.cluster.conftest import PODS, Crowd
from tests.cluster.fault_proxy import Ask, Fault, Reply, Request

GONE = orjson.dumps(
    {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {"continue": "a-token-for-the-rest-of-another-snapshot"},
        "status": "Failure",
        "reason": "Expired",
        "code": 410,
    }
)

pytestmark = pytest.mark.cluster


def on_page(page: int, times: int, answer: Callable[[Ask], Reply]) -> Fault:
    """Answers the request for a page of pods that way, a number of times."""
    left = [times]

    def fault(request: Request, ask: Ask) -> Reply | None:
        wanted = request.path == PODS_PATH and ("continue" in request.query) is (page > 1)
        if not wanted or not left[0] or (page > 2 and request.number < page):
            return None
        left[0] -= 1
        return answer(ask)

    return fault


def gone(_ask: Ask) -> Reply:
    """The snapshot has expired; the server offers to go on with another one."""
    return Reply(410, GONE)


def busy(_ask: Ask) -> Reply:
    """Priority and fairness asks to come again."""
    return Reply(429, b"{}", {"Retry-After": "5"})


def half(ask: Ask) -> Reply:
    """The connection ends in the middle of the page."""
    whole = ask(None)
    return Reply(whole.status, whole.body, cut_after=len(whole.body) // 2)


def half_chunked(ask: Ask) -> Reply:
    """The same, of an answer whose length is not announced."""
    whole = ask(None)
    return Reply(whole.status, whole.body, cut_after=len(whole.body) // 2, chunked=True)


def short(ask: Ask) -> Reply:
    """An intermediary ends the answer too early as if it were whole."""
    whole = ask(None)
    return Reply(whole.status, whole.body[: len(whole.body) // 2])


@pytest.mark.parametrize("page", [1, 2, 3])
@pytest.mark.parametrize(
    "answer",
    [
        gone,
        busy,
        half,
        half_chunked,
        short,
        *(lambda _ask, code=code: Reply(code, b"{}") for code in (500, 502, 503, 504)),
    ],
)
def test_row_56_fault_once_on_any_page_is_got_over(
    crowd: Crowd, tmp_path: Path, page: int, answer: Callable[[Ask], Reply]
) -> None:
    """Every pod of one snapshot arrives once, and the inventory is complete."""
    collected = Collected(crowd, tmp_path, on_page(page, 1, answer))
    parts = collected.parts()
    assert len(set(pods(parts))) == len(pods(parts)) == PODS
    assert parts[0]["inventory"]["kinds"]["Pod"] == {"complete": True, "count": PODS}
    assert collected.waits == ([] if answer is gone else collected.waits)
    if answer is busy:
        assert collected.waits == [5.0]


def test_row_55_snapshot_that_expires_twice_restarts_and_never_mixes(crowd: Crowd, tmp_path: Path) -> None:
    """The token that a 410 offers for the rest of another snapshot is not used; later pages are larger."""
    collected = Collected(crowd, tmp_path, on_page(2, 2, gone))
    assert len(set(pods(collected.parts()))) == PODS
    queries = [request.query for request in collected.proxy.seen if request.path == PODS_PATH]
    assert "a-token-for-the-rest-of-another-snapshot" not in [query.get("continue") for query in queries]
    assert [query["limit"] for query in queries] == ["500", "500", "1000", "1000", "1000", "1000"]


def test_row_55_snapshot_that_always_expires_is_asked_for_in_one_piece(crowd: Crowd, tmp_path: Path) -> None:
    """After three tries with pages the whole list is read at once, and is complete."""
    collected = Collected(crowd, tmp_path, on_page(2, 1000, gone))
    parts = collected.parts()
    assert len(set(pods(parts))) == PODS
    assert "limit" not in [request for request in collected.proxy.seen if request.path == PODS_PATH][-1].query
    assert parts[0]["inventory"]["kinds"]["Pod"]["complete"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (busy, "status 429"),
        (lambda _ask: Reply(503, b"{}"), "status 503"),
        (half, "unreachable"),
        (short, "truncated answer"),
        (lambda _ask: Reply(403, b"{}"), "forbidden"),
        (lambda _ask: Reply(404, b"{}"), "unsupported"),
        (lambda _ask: Reply(401, b"{}"), "unauthorized"),
    ],
)
def test_row_57_fault_that_stays_makes_its_kind_incomplete_and_no_other(
    crowd: Crowd, tmp_path: Path, answer: Callable[[Ask], Reply], reason: str
) -> None:
    """The kind has the reason; every other kind is complete, and waits stay within the rules (rows 15 and 17)."""
    collected = Collected(crowd, tmp_path, on_page(2, 10_000, answer))
    kinds = collected.parts()[0]["inventory"]["kinds"]
    pod = kinds.pop("Pod")
    assert not pod["complete"]
    assert pod["reason"].startswith(reason)
    assert pod["count"] == PAGE_OBJECTS
    assert [name for name, kind in kinds.items() if not kind["complete"]] == ["Job", "CronJob"]
    assert all(kinds[name]["reason"] == "disabled" for name in ("Job", "CronJob"))
    assert sum(collected.waits) <= 150


def test_every_kind_forbidden_is_reported_for_every_kind(crowd: Crowd, tmp_path: Path) -> None:
    """A role without rights gives an inventory without objects in which nothing is complete (row 16)."""
    collected = Collected(crowd, tmp_path, lambda _request, _ask: Reply(403, b"{}"))
    (part,) = collected.parts()
    reasons = {kind["reason"] for kind in part["inventory"]["kinds"].values()}
    assert reasons == {"forbidden", "disabled"}
    assert not any(part[key] for key in part if key.endswith("List"))


def test_server_that_ignores_the_limit_is_read_whole(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer beyond a page's size is read again in pieces, and arrives whole."""
    monkeypatch.setattr("cluster_api.client.LARGE_BODY_BYTES", 1 << 20)

    def fault(request: Request, ask: Ask) -> Reply | None:
        return ask({name: value for name, value in request.query.items() if name != "limit"})

    collected = Collected(crowd, tmp_path, fault)
    parts = collected.parts()
    assert len(set(pods(parts))) == PODS
    assert parts[0]["inventory"]["kinds"]["Pod"] == {"complete": True, "count": PODS}
    assert sum(request.path == PODS_PATH for request in collected.proxy.seen) == 2


def test_window_asks_for_one_sequence_of_pages_a_kind(crowd: Crowd, tmp_path: Path) -> None:
    """No kind is listed twice, nothing is watched or got, and each page is asked for once."""
    collected = Collected(crowd, tmp_path, lambda _request, _ask: None)
    collected.parts()
    asked: dict[str, list[str]] = {}
    for request in collected.proxy.seen:
        asked.setdefault(request.path, []).append(request.query.get("continue", ""))
        assert request.query["limit"] == "500"
        assert "watch" not in request.query
    assert all(tokens[0] == "" and len(set(tokens)) == len(tokens) for tokens in asked.values())
    assert {path: len(tokens) for path, tokens in asked.items() if len(tokens) > 1} == {PODS_PATH: 3}
    assert len(asked) == 9
