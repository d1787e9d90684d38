"""Windows become history: kept once their batches are in, revised by late ones, there when the batches are gone."""

from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from starlette.exceptions import HTTPException

from manager.api.history.routes import history_routes
from manager.app import PREFIXES
from manager.history.keeper import due_windows
from manager.history.service import History
from manager.store.agents import Agent, find_agent, purge_agent
from manager.store.maps.windows import WindowState
from manager.store.retention import delete_outdated
from manager.store.tenancy import Tenant
from podsonar.model import Window
from podsonar.settings import HistorySettings
from podsonar.timestamp import NS_PER_SECOND
from tests.manager.api.operations import make_key
from tests.manager.conftest import CLIENT
from tests.manager.history.conftest import NOW_NS, SETTINGS, Kept
from tests.manager.shop import NODE_A, NODE_B, WINDOW_ID, connection, inventory, observed

MAP = "/agents/lab/map"
DAY_NS = 24 * 3600 * NS_PER_SECOND


def push_shop(kept: Kept) -> None:
    """The inventory, and what both nodes saw."""
    for place, body in enumerate((inventory(), NODE_A, NODE_B)):
        assert kept.running.push(body, f"b-{place}").status_code == 201


def shown(kept: Kept, **query: str) -> dict[str, Any]:
    """The map."""
    found: dict[str, Any] = kept.running.get(MAP, **query)
    return found


def test_kept_map_is_the_one_computed_from_batches(kept: Kept) -> None:
    """Before and after it was kept the answer is the same."""
    push_shop(kept)
    fresh, inside = shown(kept), shown(kept, namespace="shop")
    assert kept.history.keep_due() == 1
    assert kept.history.keep_due() == 0
    assert (shown(kept), shown(kept, namespace="shop")) == (fresh, inside)
    (window,) = kept.running.get("/agents/lab/windows")["items"]
    assert (window["id"], window["revision"], window["recall"]) == (WINDOW_ID, 1, 1.0)
    totals = {"services": 5, "edges": 5, "failedEdges": 1, "attempts": 48, "established": 41, "failed": 7, "lost": 0}
    assert window["totals"] == totals | {"nodes": {"whole": 2, "part": 0, "none": 0}}


def test_late_batch_makes_a_new_revision(kept: Kept) -> None:
    """The map has it at once, and history after the next step."""
    push_shop(kept)
    kept.history.keep_due()
    late = observed("node-a", [connection("cart-1", "10.1.1.20", "203.0.113.9", 8443, n=3)], [])
    kept.running.push(late, "late")
    assert len(shown(kept)["edges"]) == 6
    assert kept.history.keep_due() == 1
    assert len(shown(kept)["edges"]) == 6
    assert kept.running.get("/agents/lab/windows")["items"][0]["revision"] == 2


def test_batch_that_changes_nothing_makes_no_revision(kept: Kept) -> None:
    """A later inventory with the same objects is no other map."""
    push_shop(kept)
    kept.history.keep_due()
    window = {"start": "2026-11-24T11:15:00.000000Z", "end": "2026-11-24T11:16:00.000000Z"}
    kept.running.push(inventory(id="inv-2", sequence=2) | {"window": window}, "later")
    assert kept.history.keep_due() == 1
    assert kept.history.keep_due() == 0
    assert kept.running.get("/agents/lab/windows")["items"][0]["revision"] == 1


def test_map_outlives_its_batches_and_ends_with_its_retention(kept: Kept) -> None:
    """Batches go after days, details after more, maps at last; files go with them."""
    push_shop(kept)
    kept.history.keep_due()
    whole = shown(kept)
    assert delete_outdated(kept.store, NOW_NS + 40 * DAY_NS, 30)["observations"] == 2
    assert shown(kept, window=WINDOW_ID) == whole
    assert kept.history.keep_due() == 0
    start_ns = kept.history.maps.windows(agent_of(kept))[0].start_ns
    assert kept.history.retention.step(start_ns + 31 * DAY_NS) == {"details": 1}
    assert [edge["sourcePods"] for edge in shown(kept)["edges"]] == [[]] * 5
    assert kept.history.retention.step(start_ns + 31 * DAY_NS) == {"files": 1}
    assert kept.history.retention.step(start_ns + 401 * DAY_NS) == {"maps": 1}
    assert kept.history.retention.step(start_ns + 401 * DAY_NS) == {"files": 3}
    assert kept.running.get("/agents/lab/windows")["items"] == []


def agent_of(kept: Kept) -> Agent:
    """The agent `lab`."""
    found = find_agent(kept.store, "lab")
    assert found is not None
    return found


def test_purged_agent_leaves_no_file(kept: Kept) -> None:
    """Neither in the folder nor in the database."""
    push_shop(kept)
    kept.history.keep_due()
    agent = agent_of(kept)
    assert kept.history.archive.files.names(agent.id, "edges")
    purge_agent(kept.store, "lab")
    kept.history.retention.step(NOW_NS)
    assert kept.history.archive.files.names(agent.id, "edges") == []


def test_answer_is_gzipped_and_sent_once_per_version(kept: Kept) -> None:
    """304 for who has it, another tag for another version, namespace or list of windows."""
    push_shop(kept)
    kept.history.keep_due()
    url, headers = f"{kept.running.url}/api/v1{MAP}", {"X-API-Key": kept.running.key}
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
        first = client.get(url, headers={"Accept-Encoding": "gzip"})
        assert (first.status_code, first.headers["content-encoding"]) == (200, "gzip")
        plain = client.get(url, headers={"Accept-Encoding": "identity"})
        assert (plain.json(), "content-encoding" in plain.headers) == (first.json(), False)
        tag = first.headers["etag"]
        again = client.get(url, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(url, params={"namespace": "shop"}).headers["etag"] != tag
        kept.running.push(observed("node-a", [connection("cart-1", "10.1.1.20", "203.0.113.9", 1, n=3)], []), "late")
        assert client.get(url, headers={"If-None-Match": tag}).status_code == 200


def test_lost_files_are_computed_again_while_there_are_batches(kept: Kept) -> None:
    """An empty folder costs nothing before the retention of batches, and is named after it."""
    push_shop(kept)
    fresh = shown(kept)
    kept.history.keep_due()
    agent = agent_of(kept)
    files = kept.history.archive.files
    for folder in ("edges", "details", "nodes", "services"):
        for name in files.names(agent.id, folder):
            files.delete(agent.id, name)
    assert shown(kept) == fresh
    delete_outdated(kept.store, NOW_NS + 40 * DAY_NS, 30)
    answer = CLIENT.get(f"{kept.running.url}/api/v1{MAP}", headers={"X-API-Key": kept.running.key})
    # The manager remembers the text of this very version for as long as it lives.
    assert answer.json()["edges"] == fresh["edges"]
    other = History(kept.store, SETTINGS, lambda: NOW_NS)
    with pytest.raises(HTTPException, match="files of this window's map are gone"):
        other.maps.text(agent_of(kept), other.maps.windows(agent)[0])


def test_duckdb_reads_the_files_as_they_are(kept: Kept, tmp_path: Path) -> None:
    """Counts by SQL are those of the map."""
    push_shop(kept)
    found = shown(kept)["edges"]
    history = History(kept.store, HistorySettings(folder=str(tmp_path / "files"), settle_seconds=0), lambda: NOW_NS)
    history.keep_due()
    edges, details = (f"{tmp_path}/files/*/{folder}/*.parquet" for folder in ("edges", "details"))
    counted = "SELECT source, destination, port, attempts, failed FROM read_parquet(?) ORDER BY ALL"
    times = "SELECT DISTINCT strftime(\"window\" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') FROM read_parquet(?)"
    with duckdb.connect() as sql:
        rows = sql.execute(counted, [edges]).fetchall()
        moment = sql.execute(times, [edges]).fetchall()
        pods = sql.execute("SELECT sum(len(backend_pods)) FROM read_parquet(?)", [details]).fetchall()
    names = ("source", "destination", "port", "attempts", "failed")
    assert rows == sorted(tuple(edge[name] for name in names) for edge in found)
    assert moment == [(WINDOW_ID,)]
    assert pods == [(sum(len(edge["backends"]) for edge in found),)]


@pytest.mark.parametrize("name", ["release-41", "a", "v1.2.3"])
def test_window_has_the_name_that_it_was_given(kept: Kept, name: str) -> None:
    """Named, asked for by its name, and without it again."""
    push_shop(kept)
    path = f"{kept.running.url}/api/v1/agents/lab/tags/{name}"
    key = make_key(kept.running.database, "admin", Tenant())
    with httpx.Client(headers={"X-API-Key": key}, timeout=30, trust_env=False) as client:
        assert client.put(path, params={"window": WINDOW_ID}).json() == {"name": name, "window": WINDOW_ID}
        assert shown(kept, window=name)["window"]["id"] == WINDOW_ID
        assert kept.running.get("/agents/lab/windows")["items"][0]["tags"] == [name]
        assert client.delete(path).status_code == 204
        assert client.get(f"{kept.running.url}/api/v1{MAP}", params={"window": name}).status_code == 404


@pytest.mark.parametrize("name", ["latest", "previous", "2026-11-24T10:15:00Z", "a b", "x" * 64, "-x"])
def test_name_that_is_a_window_already_is_refused(kept: Kept, name: str) -> None:
    """What could be a time or a reserved word names no window."""
    push_shop(kept)
    path = f"{kept.running.url}/api/v1/agents/lab/tags/{name}"
    key = make_key(kept.running.database, "admin", Tenant())
    assert CLIENT.put(path, headers={"X-API-Key": key}).status_code == 400


@pytest.mark.parametrize("prefix", PREFIXES)
def test_key_that_reads_changes_no_name(kept: Kept, prefix: str) -> None:
    """Neither gives, moves nor takes away a name, on any path; the names stay as they were, and it may read them."""
    push_shop(kept)
    admin = make_key(kept.running.database, "admin", Tenant())
    path = f"{kept.running.url}{prefix}/agents/lab/tags"
    assert CLIENT.put(f"{path}/before", headers={"X-API-Key": admin}).status_code == 200
    reader = {"X-API-Key": kept.running.key}
    names = CLIENT.get(path, headers=reader).json()["items"]
    for method, name in (("PUT", "mine"), ("PUT", "before"), ("DELETE", "before"), ("DELETE", "nobodys")):
        answer = CLIENT.request(method, f"{path}/{name}", params={"window": WINDOW_ID}, headers=reader)
        assert (answer.status_code, answer.json()["message"]) == (403, "the key's scope is read, expected admin")
    assert CLIENT.get(path, headers=reader).json()["items"] == names
    assert [one["name"] for one in names] == ["before"]


def test_every_route_of_history_that_changes_something_needs_scope_admin(kept: Kept) -> None:
    """Whatever is added to the table: another method than GET is refused to a key that reads."""
    changing = [(method, path) for method, path, _ in history_routes(kept.history) if method != "GET"]
    assert len(changing) >= 2
    for method, path in changing:
        url = f"{kept.running.url}/api/v1{path.format(agent_identity='lab', name='a')}"
        assert CLIENT.request(method, url, headers={"X-API-Key": kept.running.key}).status_code == 403


MINUTE = Window(60 * NS_PER_SECOND, 120 * NS_PER_SECOND)


@pytest.mark.parametrize(
    ("now", "received", "due"),
    [(110, 100, False), (120, 100, False), (129, 100, False), (130, 100, True), (140, 121, False), (151, 121, True)],
)
def test_window_is_due_when_it_is_over_and_no_batch_came_for_a_while(now: int, received: int, due: bool) -> None:
    """Thirty seconds after the last batch, and never before the window's end."""
    state = WindowState(MINUTE, 2, received * NS_PER_SECOND, 0, 0)
    assert bool(due_windows([state], {}, now * NS_PER_SECOND, 30 * NS_PER_SECOND)) is due
