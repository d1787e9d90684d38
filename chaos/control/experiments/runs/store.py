"""Runs in the store: read, moved by events, asked to stop; their log streams are opened and closed with them."""

from typing import Any

import msgspec
import orjson
from sqlalchemy import Connection, RowMapping

from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.events import Execution, RunEvent, check_state
from chaos.control.experiments.runs.merge import merge
from chaos.control.experiments.runs.score import Score, score_of
from manager.store.experiments.runs import append_event, find_run, update_run
from manager.store.logs.streams import close_stream, open_stream
from manager.store.logs.tokens import store_log_token
from manager.store.tenancy import Tenant
from manager.store.tokens.token_format import Token
from podsonar.timestamp import NS_PER_SECOND, rfc3339

KEY_GRACE_NS = 3600 * NS_PER_SECOND  # a runner may report, and write its logs, for an hour after its run's deadline


def record_of(row: RowMapping) -> RunRecord:
    """A stored run."""
    score = orjson.loads(row["score"]) if row["score"] else None
    return RunRecord(
        run_id=row["id"],
        notify_id=row["notify_id"],
        experiment_id=row["experiment_id"],
        revision_id=row["revision_id"],
        name=row["name"],
        account=row["account"],
        organization=row["organization"],
        project=row["project"],
        environment=row["environment"],
        infra_id=row["infra_id"],
        manifest=orjson.loads(row["manifest"]),
        execution=msgspec.json.decode(row["execution"], type=Execution),
        sequence=row["sequence"],
        completed=row["completed"],
        created_ns=row["created_ns"],
        updated_ns=row["updated_ns"],
        created_by=row["created_by"],
        deadline_ns=row["deadline_ns"],
        governance=orjson.loads(row["governance"]),
        probes=orjson.loads(row["probes"]),
        weights=orjson.loads(row["weights"]),
        error_response=row["error_response"],
        removed=row["removed_ns"] is not None,
        score=Score(*score) if score else Score(),
        stop_ns=row["stop_ns"],
        stop_reason=row["stop_reason"],
    )


def receive_event(
    connection: Connection, tenant: Tenant, run_id: str, event: RunEvent, body: bytes, now_ns: int
) -> bool:
    """Merge an event into its run, and return whether there is such a run; after the completion nothing changes.

    InputError for an event by which the run's state would be beyond its bounds.
    """
    row = find_run(connection, tenant, run_id, lock=True)
    if row is None or row["infra_id"] != event.infra_id or row["experiment_id"] != event.experiment_id:
        return False
    append_event(connection, run_id, body, now_ns, late=row["completed"])
    if row["completed"]:
        return True
    record = record_of(row)
    execution = merge(record.execution, event.execution)
    open_logs(connection, record, execution, now_ns)
    values: dict[str, Any] = {"heard_ns": now_ns, "updated_ns": now_ns}
    if event.completed:
        values |= {"completed": True, "score": orjson.dumps(list(score_of(execution, record.weights)))}
    update_run(connection, run_id, execution=check_state(execution), **values)
    return True


def log_keys(run_id: str, execution: Execution) -> set[str]:
    """The keys of the log streams of the run's own steps."""
    return {
        node.chaos_data.stream_id
        for node in execution.steps.values()
        if node.chaos_data is not None and node.chaos_data.stream_id == f"{run_id}-{node.name}"
    }


def let_write_logs(
    connection: Connection, token: Token, tenant: Tenant, run_id: str, deadline_ns: int, now_ns: int
) -> None:
    """Let a token write the run's log streams, for as long as its runner may report; again: no change."""
    store_log_token(
        connection,
        token,
        tenant.account,
        run_id,
        now_ns,
        expires_ns=deadline_ns + KEY_GRACE_NS,
        organization=tenant.organization,
        project=tenant.project,
    )


def open_logs(connection: Connection, record: RunRecord, execution: Execution, now_ns: int) -> None:
    """Open the log streams of steps that have begun: they belong to the run's tenant, whoever writes them."""
    new = log_keys(record.run_id, execution) - log_keys(record.run_id, record.execution)
    scope = {name: value for name, value in record.tenant._asdict().items() if name != "account"}
    for key in sorted(new):
        open_stream(connection, record.account, key, now_ns, **scope)


def close_logs(connection: Connection, record: RunRecord, execution: Execution, now_ns: int) -> None:
    """Close the log streams of a run whose runner is gone, which else closes them itself, behind the last line."""
    for key in sorted(log_keys(record.run_id, execution)):
        close_stream(connection, record.account, key, now_ns)


def request_stop(connection: Connection, tenant: Tenant, run_id: str, reason: str, now_ns: int) -> RunRecord | None:
    """Ask a run to stop; None without such a run. It is stopped when its runner says so, or its deadline has passed."""
    row = find_run(connection, tenant, run_id, lock=True)
    if row is None:
        return None
    if not row["completed"] and row["stop_ns"] is None:
        record = record_of(row)
        end = rfc3339(record.deadline_ns)
        text = f"stop asked at {rfc3339(now_ns)}, not confirmed; ends by itself no later than {end}"
        execution = msgspec.structs.replace(record.execution, message=text)
        update_run(
            connection,
            run_id,
            stop_ns=now_ns,
            stop_reason=reason,
            updated_ns=now_ns,
            execution=msgspec.json.encode(execution),
        )
    row = find_run(connection, tenant, run_id)
    return record_of(row) if row else None
