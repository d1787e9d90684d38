"""Tokens that expire, rotate and read one cluster alone; agents that are removed and purged; names that are checked."""

import secrets
from contextlib import closing

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from cli.main import podsonar
from manager.store.agents import purge_agent, remove_agent
from manager.store.database import Store
from manager.store.tables import METADATA, TOKENS
from manager.store.tokens.issued import (
    authenticate,
    create_token,
    list_tokens,
    rotate_token,
    store_token_uses,
)
from podsonar.errors import UsageError
from tests.manager.conftest import CLIENT, Running
from tests.manager.shop import NODE_A, inventory

HOUR_NS = 3600 * 10**9


def test_token_opens_until_it_expires(store: Store) -> None:
    """At its moment it opens nothing more; one without a moment never expires."""
    token = create_token(store, "ingest", "lab", 1, secrets.token_bytes, expires_ns=HOUR_NS).text()
    assert authenticate(store, token, "ingest", HOUR_NS - 1) is not None
    assert authenticate(store, token, "ingest", HOUR_NS) is None
    endless = create_token(store, "ingest", "lab", 1, secrets.token_bytes).text()
    assert authenticate(store, endless, "ingest", 10**6 * HOUR_NS) is not None


@pytest.mark.parametrize(("scope", "expires"), [("ingest", None), ("ingest", 9), ("read", None), ("read", 9)])
def test_rotated_token_and_its_successor_are_good_for_the_overlap(
    store: Store, scope: str, expires: int | None
) -> None:
    """Two at a time, of one agent or person; the successor lives as long as the first one did."""
    expires_ns = expires * HOUR_NS if expires else None
    old = create_token(store, scope, "lab", 0, secrets.token_bytes, expires_ns=expires_ns)  # type: ignore[arg-type]
    new = rotate_token(store, old.id, 5 * HOUR_NS, 2 * HOUR_NS, secrets.token_bytes)

    def good(hours: int) -> list[bool]:
        texts = (old.text(), new.text())
        return [authenticate(store, one, scope, hours * HOUR_NS) is not None for one in texts]  # type: ignore[arg-type]

    assert (good(6), good(7), good(13)) == ([True, True], [False, True], [False, True])
    assert good(14) == [False, expires is None]
    with pytest.raises(UsageError, match="no active token"):
        rotate_token(store, "0" * 12, 1, 1, secrets.token_bytes)


def test_last_use_is_stored_without_a_write_per_push(store: Store) -> None:
    """What was used since is stored at once; what was not stays unknown."""
    used = create_token(store, "ingest", "lab", 1, secrets.token_bytes)
    idle = create_token(store, "ingest", "lab", 1, secrets.token_bytes)
    for now_ns in (7, 8, 9):
        assert authenticate(store, used.text(), "ingest", now_ns) is not None
    store_token_uses(store)
    rows = {row["id"]: row["last_used_ns"] for row in list_tokens(store)}
    assert (rows[used.id], rows[idle.id]) == (9, None)


def test_key_of_one_cluster_reads_no_other(running: Running) -> None:
    """Lists leave the others out, their paths are 404, and it pushes nothing."""
    with closing(Store(running.database)) as store:
        create_token(store, "ingest", "other", 1, secrets.token_bytes)
        key = create_token(store, "read", "somebody", 1, secrets.token_bytes, agent="other").text()
        with pytest.raises(UsageError, match="no agent has the name 'nobody'"):
            create_token(store, "read", "somebody", 1, secrets.token_bytes, agent="nobody")
    headers = {"X-API-Key": key}
    listed = CLIENT.get(f"{running.url}/api/v1/agents", headers=headers).json()
    assert ([item["name"] for item in listed["items"]], listed["page"]["totalItems"]) == (["other"], 1)
    for path in ("", "/map", "/pods", "/connections", "/discoveredservices", "/discoveredserviceconnections"):
        statuses = [
            CLIENT.get(f"{running.url}/api/v1/agents/{name}{path}", headers=headers).status_code
            for name in ("lab", "other")
        ]
        assert statuses == [404, 200]
    assert running.push(NODE_A, Authorization=f"Token {key}").status_code == 401


def rows_of(store: Store) -> dict[str, int]:
    """How many rows each table has."""
    with store.reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in METADATA.sorted_tables
        }


def test_removed_agent_is_404_and_back_with_a_new_token(running: Running) -> None:
    """It is in no list; a token made for its name brings it back with what it sent."""
    assert running.push(NODE_A, "b-1").status_code == 201
    with closing(Store(running.database)) as store:
        remove_agent(store, "lab", 5)
        with pytest.raises(UsageError, match="no agent has the name"):
            remove_agent(store, "nobody", 5)
        assert running.push(NODE_A, "b-2").status_code == 404
        assert running.get("/agents")["items"] == []
        create_token(store, "ingest", "lab", 6, secrets.token_bytes)
    assert running.push(NODE_A, "b-2").status_code == 201
    assert len(running.get("/agents/lab/connections")["items"]) == 6


def test_purged_agent_leaves_nothing_behind_and_the_others_everything(running: Running) -> None:
    """Every table has as many rows as before it came."""
    with closing(Store(running.database)) as store:
        before = rows_of(store)
        other = create_token(store, "ingest", "other", 2, secrets.token_bytes).text()
        for place, body in enumerate((inventory(), NODE_A, inventory(id="inv-2", part=1, parts=2, sequence=2))):
            assert running.push(body, f"b-{place}", Authorization=f"Token {other}").status_code == 201
        assert sum(purge_agent(store, "other").values()) > 20
        assert rows_of(store) == before
    assert running.push(NODE_A, "b-1", Authorization=f"Token {other}").status_code == 401
    assert running.push(NODE_A, "b-1").status_code == 201


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "../x", "\x1b[2J", "a\nb", "x" * 254, "-a", "a ", "\u202egnp", "a?b", "a%2Fb"]
)
def test_name_that_cannot_stand_in_a_path_or_terminal_is_refused(store: Store, name: str) -> None:
    """Of agents and of people; the text shows it escaped."""
    for scope in ("ingest", "read"):
        with pytest.raises(UsageError, match="expected 1 to 253") as raised:
            create_token(store, scope, name, 1, secrets.token_bytes)  # type: ignore[arg-type]
        assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("name", ["a", "lab", "production-eu", "team a.b_c:9", "x" * 253, "gke_project_zone_cluster"])
def test_usual_names_are_good(store: Store, name: str) -> None:
    """Letters, digits and what cluster names have."""
    assert create_token(store, "ingest", name, 1, secrets.token_bytes)


def test_commands_rotate_list_remove_and_purge(database: str) -> None:
    """What an operator does, in order; names of before that hold escapes are shown escaped."""

    def command(*words: str) -> str:
        done = CliRunner().invoke(podsonar, ["manager", *words, "--database", database])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    first = command("token", "create", "--agent", "shop", "--days", "30")
    key = command("token", "create", "--scope", "read", "--name", "me", "--agent", "shop")
    second = command("token", "rotate", first.split("_")[1], "--hours", "2")
    assert second.split("_")[1] != first.split("_")[1]
    with closing(Store(database)) as store:
        assert authenticate(store, key, "read", 1) is not None
        with store.writing() as connection:
            connection.execute(TOKENS.update().where(TOKENS.c.id == key.split("_")[1]).values(name="\x1b[2Jme"))
    shown = command("token", "list")
    assert (shown.count("expires"), "\x1b" in shown, "\\x1b[2Jme" in shown) == (2, False, True)
    assert "shop" in command("agent", "list")
    command("agent", "remove", "shop")
    assert command("agent", "list") == ""
    command("agent", "purge", "shop")
    assert command("token", "list") == ""
