"""Ends of runs that no runner reports: nobody was heard of until the deadline, or all of it was taken away."""

import msgspec
import orjson
from sqlalchemy import Connection, RowMapping

from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.each_run import EachRun
from chaos.control.experiments.runs.events import Execution
from chaos.control.experiments.runs.merge import DEADLINE_MESSAGE, with_root
from chaos.control.experiments.runs.score import score_of
from chaos.control.experiments.runs.store import close_logs, record_of
from manager.store.experiments.runs import find_run_of_any_tenant, overdue_runs, update_run
from podsonar.timestamp import NS_PER_SECOND, rfc3339

MOST_TEXT = 4096  # characters of a message, as in events


def end_overdue(connection: Connection, now_ns: int, each: EachRun | None = None) -> list[str]:
    """End every run whose deadline has passed, and return their ids: no fault of theirs can be on any more."""
    ended: list[str] = []

    def end(run_id: str) -> None:
        row = find_run_of_any_tenant(connection, run_id, lock=True)
        if row is None or row["completed"]:
            return
        record = record_of(row)
        phase, message = ("Stopped", DEADLINE_MESSAGE) if record.stop_ns else ("Timeout", silence_of(row))
        end_run(connection, record, phase, message, now_ns, error="" if record.stop_ns else message)
        ended.append(run_id)

    (each or EachRun()).act(overdue_runs(connection, now_ns), end, connection)
    return ended


def end_run(
    connection: Connection, record: RunRecord, phase: str, message: str, now_ns: int, *, error: str = ""
) -> None:
    """End a run whose runner does not: every step that had not ended has that phase."""
    execution = end_steps(record.execution, phase, message[:MOST_TEXT], now_ns // NS_PER_SECOND)
    update_run(
        connection,
        record.run_id,
        completed=True,
        updated_ns=now_ns,
        error_response=error,
        execution=msgspec.json.encode(execution),
        score=orjson.dumps(list(score_of(execution, record.weights))),
    )
    close_logs(connection, record, execution, now_ns)


def silence_of(row: RowMapping) -> str:
    """Why a run is over of which nobody was heard."""
    heard = f"runner silent since {rfc3339(row['heard_ns'])}" if row["heard_ns"] else "no runner took the run"
    return f"{heard}; every fault's kernel deadline passed at {rfc3339(row['deadline_ns'])}: nothing is injected"


def end_steps(execution: Execution, phase: str, message: str, now_seconds: int) -> Execution:
    """The state in which every step that had not ended has that phase."""
    nodes = dict(execution.nodes)
    for key, node in execution.steps.items():
        if node.has_ended or node.chaos_data is None:
            continue
        verdict = "Stopped" if phase == "Stopped" else "N/A"
        data = msgspec.structs.replace(node.chaos_data, experiment_status=phase, experiment_verdict=verdict)
        nodes[key] = msgspec.structs.replace(
            node, phase=phase, message=message, finished_at=str(now_seconds), chaos_data=data
        )
    return with_root(msgspec.structs.replace(execution, nodes=nodes))
