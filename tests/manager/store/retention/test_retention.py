"""Retention deletes what is too old and nothing else, and no transaction of it reads what is kept."""

from contextlib import closing

import pytest
from sqlalchemy import inspect, text

from manager.store.agents import purge_agent
from manager.store.database import Store
from manager.store.retention import DAY_NS, ROWS, delete_outdated
from manager.store.tables import SENDERS
from tests.manager.fresh_database import agent_of
from tests.manager.store.retention.aged_rows import AGED, Rows, insert_rows, kept_keys, random_rows, seeded, stored_keys
from tests.manager.store.retention.query_plans import watch_plans

DAYS = 30
NOW_NS = 100 * DAY_NS
BEFORE_NS = NOW_NS - DAYS * DAY_NS
TIMES = range(BEFORE_NS - 40, BEFORE_NS + 40)
OLD, YOUNG = range(BEFORE_NS - 40, BEFORE_NS), range(BEFORE_NS, BEFORE_NS + 40)
ADD_AGENT = """
    INSERT INTO agents (id, object_id, identity, name, created_ns, updated_ns, revision, permanent)
    VALUES (:id, :id, :id, :id, 1, 1, 0, true)
"""
# An agent's senders change with every push: an index by age would cost each of them. There are as many as spools.
READ_WHOLE = {"SEARCH senders USING INDEX sqlite_autoindex_senders_1 (agent_id=?)"}


def add_agent(store: Store, agent_id: str) -> str:
    """An agent of that id."""
    with store.writing() as connection:
        connection.execute(text(ADD_AGENT), {"id": agent_id})
    return agent_id


@pytest.mark.parametrize("seed", range(4))
def test_of_random_rows_exactly_the_outdated_ones_go(store: Store, seed: int) -> None:
    """Whatever their ages and however many transactions it takes: two agents, each by its own rows."""
    rng = seeded(seed)
    rows = [random_rows(rng, agent, TIMES, 2 * ROWS) for agent in (agent_of(store), add_agent(store, "other"))]
    for values in rows:
        insert_rows(store, values)
    kept = kept_keys(rows, BEFORE_NS)
    gone = {name: len(keys) - len(kept[name]) for name, keys in stored_keys(store).items()}
    assert min(gone.values()) > 0
    assert gone["record_blocks"] > ROWS
    assert delete_outdated(store, NOW_NS, DAYS) == gone
    assert stored_keys(store) == kept
    assert delete_outdated(store, NOW_NS, DAYS) == {}


def test_database_of_before_has_the_indexes_and_the_same_rows_go(database: str) -> None:
    """Schema 0018 with rows in every table becomes the newest one, and nothing is lost by that."""
    rng = seeded(18)
    with closing(Store(database)) as store:
        store.migrate("0018")
        rows = random_rows(rng, add_agent(store, "lab"), TIMES, 300)
        insert_rows(store, rows)
        before = stored_keys(store)
        store.migrate()
        assert stored_keys(store) == before
        indexes = {one["name"] for table in AGED for one in inspect(store.engine).get_indexes(table.name)}
        assert indexes >= {"batches_by_age", "inventories_by_start", "windows_by_start", "objects_removed"}
        delete_outdated(store, NOW_NS, DAYS)
        assert stored_keys(store) == kept_keys([rows], BEFORE_NS)


def test_interrupted_retention_goes_on_where_it_was(store: Store) -> None:
    """Blocks without their observation, observations without a batch: none is left, whenever the manager ends."""
    rows = random_rows(seeded(5), agent_of(store), TIMES, 2 * ROWS)
    insert_rows(store, rows)
    transactions = 0

    def end_soon(_seconds: float) -> None:
        nonlocal transactions
        transactions += 1
        if transactions % 3 == 0:
            raise InterruptedError

    store.on_transaction = end_soon
    interrupted, is_over = 0, False
    while not is_over:
        try:
            delete_outdated(store, NOW_NS, DAYS)
            is_over = True
        except InterruptedError:
            interrupted += 1
            with store.reading() as connection:
                for upper, lower in (("observations", "record_blocks"), ("batches", "observations")):
                    orphan = f"SELECT 1 FROM {lower} WHERE batch_id NOT IN (SELECT batch_id FROM {upper})"  # noqa: S608
                    assert connection.execute(text(orphan)).all() == []
    assert interrupted > 2
    assert stored_keys(store) == kept_keys([rows], BEFORE_NS)


def test_no_statement_of_retention_reads_a_whole_table(sqlite: Store) -> None:
    """Each finds its rows by a range of an index that is about their age, and deletes them by their key."""
    insert_rows(sqlite, random_rows(seeded(1), agent_of(sqlite), TIMES, ROWS))
    plans = watch_plans(sqlite)
    delete_outdated(sqlite, NOW_NS, DAYS)
    assert plans.deleted_from == {table.name for table in AGED}
    assert {step.partition(" USING ")[0] for step in plans.scans()} == {"SCAN agents"}  # one row per cluster
    by_agent_alone = {step for step in plans.read | plans.written if step.endswith("(agent_id=?)")}
    # From the newest on, up to the first whole one.
    newest_whole = {"SEARCH inventories_1 USING INDEX inventories_by_start (agent_id=?)"}
    assert by_agent_alone == READ_WHOLE | newest_whole


def test_no_statement_of_a_purge_reads_a_whole_table(sqlite: Store) -> None:
    """What an agent sent is deleted by its keys, in the tables that are about agents."""
    insert_rows(sqlite, random_rows(seeded(2), agent_of(sqlite), TIMES, ROWS))
    plans = watch_plans(sqlite)
    counts = purge_agent(sqlite, "lab")
    assert all(counts[table.name] for table in AGED)
    assert plans.scans() == {"SCAN agents"}


def test_transaction_does_no_more_where_more_is_kept(sqlite: Store) -> None:
    """SQLite's own count of instructions: the same to 2 % for eight times as many rows that stay."""
    agent = agent_of(sqlite)
    most = []
    for kept in (1, 8):
        for number in range(len(most), kept):
            insert_rows(sqlite, without_senders(agent, YOUNG, number))
        insert_rows(sqlite, without_senders(agent, OLD, 100 + kept))
        plans = watch_plans(sqlite)
        gone = delete_outdated(sqlite, NOW_NS, DAYS)
        assert gone["batches"] == 2 * ROWS
        assert gone.keys() == {table.name for table in AGED} - {"senders"}
        most.append(max(plans.instructions))
    assert most[1] < 1.02 * most[0]


def without_senders(agent_id: str, times: range, number: int) -> Rows:
    """Random rows under names of that number's own, but for senders, of which an agent's are read."""
    rows = random_rows(seeded(number), agent_id, times, 2 * ROWS)
    named = ("window_id", "inventory_id", "sender", "uid", "id", "installation_id", "removal_task_id")
    return {
        table: [
            {key: f"{number}:{value}" if key in named and value else value for key, value in row.items()}
            for row in values
        ]
        for table, values in rows.items()
        if table is not SENDERS
    }
