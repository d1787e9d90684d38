"""How a run of the collector ends that a real API server would not let end: by its time, or by a request to stop."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from cluster_api.client import ApiClient
from collector.k8s.list_deadline import ListLimits, StoppedError
from podsonar.json_gzip import unpack
from tests.cluster.collected import PODS_PATH, Collected, pods
from tests.cluster.conftest import PODS, Crowd
from tests.cluster.fault_proxy import Ask, Reply, Request, serving

pytestmark = pytest.mark.cluster


def with_token(reply: Reply, token: str) -> Reply:
    """The page with another continue token."""
    document = orjson.loads(reply.body)
    document["metadata"]["continue"] = token
    body = {"kind": document["kind"], "metadata": document["metadata"], "items": document["items"]}
    return Reply(reply.status, orjson.dumps(body))


@pytest.mark.parametrize("token", ["the-same", "another-{number}"])
def test_list_that_never_ends_is_incomplete(crowd: Crowd, tmp_path: Path, token: str) -> None:
    """A server that always has one more page is left after the run's time, or when its token comes again."""

    def fault(request: Request, ask: Ask) -> Reply | None:
        if request.path != PODS_PATH:
            return None
        if request.number == 1 and token != "the-same":
            run.deadline = time.monotonic() + 2
        first = {name: value for name, value in request.query.items() if name != "continue"}
        return with_token(ask(first), token.format(number=request.number))

    run = ListLimits(lambda _seconds: None)
    collected = Collected(crowd, tmp_path, fault, run)
    kinds = collected.parts()[0]["inventory"]["kinds"]
    assert kinds["Service"]["complete"]
    assert not kinds["Pod"]["complete"]
    assert kinds["Pod"]["reason"] == ("list does not advance" if token == "the-same" else "run limit")


def test_page_that_trickles_is_cut_after_its_time(crowd: Crowd, tmp_path: Path) -> None:
    """A server that never ends a page costs that page's time, and the kind is incomplete."""
    done = threading.Event()
    source: list[ApiClient] = []

    def fault(request: Request, ask: Ask) -> Reply | None:
        if request.path != PODS_PATH:
            return None
        source[0].page_seconds = 0.3
        return Reply(200, ask(None).body, stall_after=1000, until=done)

    collected = Collected(crowd, tmp_path, fault)
    with serving(collected.proxy) as url:
        inventory = collected.inventory(url)
        assert isinstance(inventory.source, ApiClient)
        source.append(inventory.source)
        (part,) = [unpack(payload) for payload in inventory.bodies(tmp_path)]
    done.set()
    assert part["inventory"]["kinds"]["Pod"]["reason"].startswith("unreachable")
    assert part["inventory"]["kinds"]["Service"]["complete"]


def test_row_57_rotated_token_is_read_again(crowd: Crowd, tmp_path: Path) -> None:
    """401 until the token's file has the new one: the list waits, goes on, and is complete."""
    token = orjson.loads(crowd.kubeconfig.read_bytes())["users"][0]["user"]["token"]
    token_file = tmp_path / "token"
    token_file.write_text("expired." + token.split(".", 1)[1])
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            token_file.write_text(token)

    collected = Collected(crowd, tmp_path, lambda _request, _ask: None, ListLimits(wait))
    parts = collected.parts(token_file)
    assert len(pods(parts)) == PODS
    assert len(waits) == 3
    assert sum(waits) < 120


def test_token_that_is_never_renewed_costs_two_minutes_in_all(crowd: Crowd, tmp_path: Path) -> None:
    """Every kind has the reason unauthorized; the wait for a new token is that of one window, not of each kind."""
    token_file = tmp_path / "token"
    token_file.write_text("nonsense")
    collected = Collected(crowd, tmp_path, lambda _request, _ask: None)
    (part,) = collected.parts(token_file)
    reasons = {kind["reason"] for kind in part["inventory"]["kinds"].values()}
    assert reasons == {"unauthorized", "disabled"}
    assert 60 < sum(collected.waits) <= 120


def test_stop_in_the_middle_of_a_page_leaves_nothing(crowd: Crowd, tmp_path: Path) -> None:
    """SIGTERM while the server sends pods: no part, no file, and the program does not wait for the list's end."""
    stop = threading.Event()
    folder = tmp_path / "spool"
    folder.mkdir()

    def fault(request: Request, _ask: Ask) -> Reply | None:
        if request.path == PODS_PATH and request.number == 2:
            stop.set()
        return None

    run = ListLimits(stop.wait, stopped=stop.is_set)
    collected = Collected(crowd, tmp_path, fault, run)
    with ExitStack() as stack:
        inventory = collected.inventory(stack.enter_context(serving(collected.proxy)))
        with pytest.raises(StoppedError):
            list(inventory.bodies(folder))
    assert list(folder.iterdir()) == []
    assert sum(request.path == PODS_PATH for request in collected.proxy.seen) <= 3
