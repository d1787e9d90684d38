"""A list is whole or has the reason why not; an unreachable server or a cut or wrong answer proves nothing."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from cluster_api.large_answer import LargeAnswerError
from collector.k8s.kinds import KINDS
from collector.k8s.list_deadline import ListLimits
from collector.k8s.paged_list import Listed, list_pages, wait_seconds
from podsonar.errors import ApiServerError

POD = KINDS[-1]
Answer = tuple[int, str | None, bytes]
Query = dict[str, str | int]


def page_of(begin: int, end: int, count: int, version: str = "7", key: str = "items") -> bytes:
    """A page of objects, as the API server writes it: metadata first."""
    metadata = {"resourceVersion": version, "continue": str(end) if end < count else ""}
    items = [{"metadata": {"uid": str(number)}} for number in range(begin, end)]
    return orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, key: items})


class FakePages:
    """Serves the objects of a kind in pages; `faults` answer requests by their number, from 1. Checks no rights."""

    def __init__(self, count: int, faults: dict[int, Callable[[], Answer]] | None = None) -> None:
        self.count, self.faults, self.asked = count, faults or {}, 0

    def page(self, path: str, query: Query) -> Answer:
        """One page of at most `limit` objects, or the fault that is due."""
        self.asked += 1
        if self.asked in self.faults:
            return self.faults[self.asked]()
        begin = int(query.get("continue", 0))
        return 200, None, page_of(begin, min(begin + int(query["limit"]), self.count), self.count)


def cut() -> Answer:
    """A connection that ends in the middle."""
    raise ApiServerError("answer cut short")


def got(source: Any, run: ListLimits | None = None) -> tuple[list[str], Listed]:
    """UIDs of the last snapshot, and how the list ended."""
    listed, uids = Listed(), list[str]()
    for page in list_pages(source, POD, None, listed, run=run or ListLimits(lambda _seconds: None)):
        uids = [*uids, *(item["metadata"]["uid"] for item in page)] if page else []
    return uids, listed


EVERY = [str(number) for number in range(1253)]


def test_list_of_many_pages_arrives_whole() -> None:
    """1,253 pods arrive as 1,253, over three pages, each asked for once."""
    source = FakePages(1253)
    uids, listed = got(source)
    assert (uids, listed.count, listed.reason, source.asked) == (EVERY, 1253, None, 3)


@pytest.mark.parametrize(
    "fault",
    [
        lambda: (429, "5", b""),
        lambda: (500, None, b""),
        lambda: (503, None, b""),
        lambda: (504, None, b""),
        lambda: (401, None, b""),
        lambda: (200, None, page_of(500, 1000, 1253)[:-40]),
        lambda: (200, None, page_of(500, 1000, 1253).replace(b'"900"', b'"900')),
        lambda: (200, None, b""),
        lambda: (200, None, b"<html>sign in</html>"),
        lambda: (200, None, b'{"kind": "Status", "metadata": {}}'),
        lambda: (200, None, page_of(500, 1000, 1253, key="objects")),
        lambda: (410, None, b"{}"),
        lambda: (200, None, page_of(500, 1000, 1253, version="8")),
        cut,
    ],
)
@pytest.mark.parametrize("request_number", [1, 2, 3])
def test_row_56_list_with_one_fault_arrives_whole(fault: Callable[[], Answer], request_number: int) -> None:
    """Whatever happens once to whichever page, every object of one snapshot arrives once."""
    uids, listed = got(FakePages(1253, {request_number: fault}))
    assert (uids, listed.reason) == (EVERY, None)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "bad request"),
        (403, "forbidden"),
        (404, "unsupported"),
        (401, "unauthorized"),
        (410, "expired"),
        (503, "status 503"),
        (302, "status 302"),
    ],
)
def test_row_57_refused_list_carries_its_reason(status: int, reason: str) -> None:
    """A list that cannot be had is incomplete, with a reason."""
    source = FakePages(1, {number: lambda: (status, None, b"{}") for number in range(1, 1000)})
    uids, listed = got(source)
    assert (uids, listed.reason) == ([], reason)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", page_of(0, 1, 1)[:-1]])
def test_answer_that_is_no_list_is_never_an_empty_cluster(body: bytes) -> None:
    """Status 200 with something else than a list is asked for again, and then incomplete."""
    source = FakePages(1, {number: lambda: (200, None, body) for number in range(1, 1000)})
    uids, listed = got(source)
    assert uids == []
    assert listed.reason in ("answer is no list", "truncated answer")
    assert 1 < source.asked < 40


def test_row_56_list_cut_for_good_keeps_what_its_snapshot_gave_and_is_incomplete() -> None:
    """Pages of one snapshot are delivered; that some are missing is reported."""
    uids, listed = got(FakePages(1253, dict.fromkeys(range(2, 1000), cut)))
    assert uids == EVERY[:500]
    assert listed.reason == "unreachable: answer cut short"


class Circle(FakePages):
    """Gives the first page for ever."""

    def page(self, path: str, query: Query) -> Answer:
        """The first page."""
        self.asked += 1
        return 200, None, page_of(0, 500, 1253)


class Endless(FakePages):
    """Never runs out of pages."""

    def page(self, path: str, query: Query) -> Answer:
        """One more page."""
        self.asked += 1
        begin = int(query.get("continue", 0))
        return 200, None, page_of(begin, begin + 500, 10**9)


def test_list_that_never_ends_is_incomplete() -> None:
    """Neither the same token again nor ever new ones keep the collector busy beyond its time."""
    source = Circle(0)
    assert got(source)[1].reason == "list does not advance"
    assert source.asked <= 3
    moments = iter(range(10_000))
    assert got(Endless(0), ListLimits(lambda _: None, lambda: next(moments), 50.0))[1].reason == "run limit"


class Whole(FakePages):
    """Ignores `limit`: its answer is too large for a page, and comes in pieces."""

    def __init__(self, count: int, cut_bytes: int = 0) -> None:
        super().__init__(count)
        self.cut_bytes = cut_bytes

    def page(self, path: str, query: Query) -> Answer:
        """Too much for a page."""
        raise LargeAnswerError

    def stream(self, path: str, query: Query) -> tuple[int, str | None, Iterator[bytes]]:
        """The whole list in small pieces, perhaps without its last bytes."""
        assert "limit" not in query
        body = page_of(0, self.count, self.count)
        body = body[: len(body) - self.cut_bytes]
        return 200, None, (body[at : at + 777] for at in range(0, len(body), 777))


def test_server_that_ignores_the_limit_is_read_in_pieces() -> None:
    """One answer of any size arrives whole, in groups of a page's size."""
    uids, listed = got(Whole(1253))
    assert (uids, listed.reason, listed.pages) == (EVERY, None, 3)
    uids, listed = got(Whole(1253, cut_bytes=3))
    assert (listed.reason, len(uids) <= 1253) == ("truncated answer", True)


class Expiring(Whole):
    """Expires on every second page, as where listing takes longer than a snapshot is kept."""

    def page(self, path: str, query: Query) -> Answer:
        """The first page, then 410."""
        return (410, None, b"{}") if "continue" in query else (200, None, page_of(0, 500, self.count))


def test_cached_list_asks_for_the_servers_memory_with_its_first_page_only() -> None:
    """`resourceVersion=0` once a snapshot, beside no token (servers refuse both), and for a list in one piece."""
    asked: list[Query] = []

    class Watched(Expiring):
        def page(self, path: str, query: Query) -> Answer:
            asked.append(query)
            return super().page(path, query)

        def stream(self, path: str, query: Query) -> tuple[int, str | None, Iterator[bytes]]:
            asked.append(query)
            return super().stream(path, query)

    listed = Listed()
    for _ in list_pages(Watched(1253), POD, None, listed, run=ListLimits(lambda _seconds: None), cached=True):
        pass
    assert (listed.reason, listed.count) == (None, 1253)
    assert [query.get("resourceVersion") for query in asked] == ["0", None] * 3 + ["0"]
    asked.clear()
    list(list_pages(Watched(1253), POD, None, listed, run=ListLimits(lambda _seconds: None)))
    assert not [query for query in asked if "resourceVersion" in query]


def test_list_that_expires_always_is_asked_for_in_one_piece() -> None:
    """After two new beginnings the whole list is asked for at once: one snapshot, nothing twice."""
    uids, listed = got(Expiring(1253))
    assert (uids, listed.reason) == (EVERY, None)


def test_next_page_is_fetched_while_this_one_is_worked_on() -> None:
    """The request for page 2 is made before page 1 was given back, and none is made beyond it."""
    asked = threading.Event()

    class Watched(FakePages):
        def page(self, path: str, query: Query) -> Answer:
            answer = super().page(path, query)
            if query.get("continue") == "500":
                asked.set()
            return answer

    source = Watched(2000)
    listing = list_pages(source, POD, None, Listed())
    next(listing)
    assert asked.wait(60)
    assert source.asked == 2
    listing.close()


def test_list_whose_metadata_comes_last_is_whole() -> None:
    """The order of members is a habit of the server, not a promise."""

    class Late(FakePages):
        def page(self, path: str, query: Query) -> Answer:
            status, wait, body = super().page(path, query)
            document = orjson.loads(body)
            return status, wait, orjson.dumps({"items": document["items"], "metadata": document["metadata"]})

    uids, listed = got(Late(1253))
    assert (uids, listed.reason) == (EVERY, None)


@pytest.mark.parametrize(
    ("retry_after", "attempt", "seconds"),
    [("5", 0, 5), ("3600", 0, 60), ("-5", 2, 2), ("soon", 0, 0.5), (None, 3, 4), (None, 30, 60)],
)
def test_row_56_wait_is_the_servers_retry_after_up_to_a_minute(
    retry_after: str | None, attempt: int, seconds: float
) -> None:
    """Retry-After is honoured up to 60 s; without one the wait doubles."""
    assert wait_seconds(retry_after, attempt) == seconds
