"""What ends or deletes hosts' tasks, runs and streams finds them by an index: it looks every few seconds."""

import secrets

from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.new_run import Ordered, make_run
from chaos.control.experiments.runs.sweeper import sweep
from chaos.control.linux.deadlines import end_overdue_tasks
from chaos.control.linux.tables import LINUX_TASKS
from chaos.control.logs.retention import delete_outdated_logs
from manager.store.database import Store
from manager.store.experiments.runs import open_runs, runs_of_delegates
from manager.store.logs.lines import deflate
from manager.store.logs.streams import append_lines
from manager.store.logs.tables import LOG_BLOBS
from manager.store.logs.tokens import create_log_token
from manager.store.retention import DAY_NS, ROWS
from manager.store.tenancy import Tenant
from tests.chaos.conftest import ACCOUNT
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.chaos.control.logs.test_streams import line
from tests.manager.store.retention.query_plans import watch_plans

DAYS = 7
NOW_NS = 100 * DAY_NS
OLD_NS = NOW_NS - DAYS * DAY_NS - 1


def test_no_statement_of_the_logs_retention_reads_a_whole_table(sqlite: Store) -> None:
    """Lines, streams, blobs and tokens are found by their age and deleted by their keys."""
    row = {"account": ACCOUNT, "bytes": 1, "body": deflate(b"x"), "sha256": "s", "uploaded_ns": OLD_NS}
    with sqlite.writing() as connection:
        for pos in range(ROWS + 7):
            append_lines(connection, ACCOUNT, "old", "w", [line(pos + 1)], OLD_NS)
        connection.execute(LOG_BLOBS.insert(), [row | {"key": f"k-{n}"} for n in range(23)])
        for expires_ns in (OLD_NS, None):
            create_log_token(connection, ACCOUNT, "", 1, secrets.token_bytes, expires_ns=expires_ns)
    plans = watch_plans(sqlite)
    gone = delete_outdated_logs(sqlite, NOW_NS, DAYS)
    assert gone == {"log_chunks": ROWS + 7, "log_blobs": 23, "log_streams": 1, "log_tokens": 1}
    assert plans.deleted_from == gone.keys()
    assert plans.scans() == set()


def test_no_statement_about_hosts_overdue_tasks_reads_them_all(sqlite: Store) -> None:
    """They are found by their status: those that are over are not looked at."""
    text = ("account", "organization", "project", "environment", "infra_id", "run_id", "message", "stop_reason")
    rest = {"action": b"{}", "created_ns": 1, "expires_ns": 2, "longest_ns": 1, "deadline_ns": 3, "heard_ns": 1}
    rows = [
        dict.fromkeys(text, "") | rest | {"name": f"{status}-{n}", "lce_uid": f"{status}-{n}", "status": status}
        for status, count in (("Queued", 3), ("Running", 5), ("Completed", 23))
        for n in range(count)
    ]
    with sqlite.writing() as connection:
        connection.execute(LINUX_TASKS.insert(), [row | {"stream_id": row["name"]} for row in rows])
    plans = watch_plans(sqlite)
    assert end_overdue_tasks(sqlite, NOW_NS) == 8
    assert any("linux_tasks_by_status" in step for step in plans.written)
    assert plans.scans() == set()


def test_no_statement_about_overdue_and_open_runs_reads_them_all(sqlite: Store) -> None:
    """They are found by whether they are over, and by their deadline."""
    with sqlite.writing() as connection:
        for name in ("a", "b", "c"):
            make_run(connection, Tenant(name), Ordered("prod", MANIFEST, {}, {}, {}), 1, "a", secrets.token_bytes)
    plans = watch_plans(sqlite)
    with sqlite.reading() as connection:
        assert len(open_runs(connection)) == 3
        runs_of_delegates(connection, 1)
    assert len(sweep(sqlite, lambda: NOW_NS, EachRun())) == 3
    assert any("experiment_runs" in step for step in plans.written)
    assert plans.scans() == set()
