"""Runs in the store: made from a manifest, moved by events, stopped on request, ended when nobody is heard of."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import orjson
from sqlalchemy import Connection, RowMapping

from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.events import Execution, RunEvent
from chaos.control.experiments.runs.manifest import first_execution, probe_seconds, read_manifest
from chaos.control.experiments.runs.merge import DEADLINE_MESSAGE, merge, with_root
from chaos.control.experiments.runs.score import Score, score_of
from manager.store.experiments.runs import (
    NewExperiment,
    NewRun,
    add_experiment,
    add_run,
    append_event,
    find_run,
    new_key,
    open_runs,
    update_run,
)
from manager.store.logs.streams import close_stream, open_stream
from manager.store.logs.tokens import create_log_token
from manager.store.tenancy import Tenant
from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND, rfc3339

SETTLE_SECONDS = 60  # beyond what a run's steps can take
KEY_GRACE_NS = 3600 * NS_PER_SECOND  # a runner may report, and write its logs, for an hour after its run's deadline
MOST_TEXT = 4096  # characters of a message, as in events
STEP_SECONDS = 120  # for probes, windows and pods of a step


class Ordered(NamedTuple):
    """A run as a person orders it: the manifest, weights by step, and the plan that was checked before.

    `refused` are the sentences of guards that refuse it: it is stored, and nothing of it runs.
    """

    infra_id: str
    manifest: Mapping[str, Any]
    weights: Mapping[str, int]
    plan: Mapping[str, Any]
    governance: Mapping[str, Any]
    refused: Sequence[str] = ()


class MadeRun(NamedTuple):
    """Ids of a new run, its runner's key and the token that writes its logs, shown this once."""

    run_id: str
    notify_id: str
    experiment_id: str
    key: str
    log_token: str


def make_run(
    connection: Connection, tenant: Tenant, order: Ordered, now_ns: int, created_by: str, random: Callable[[int], bytes]
) -> MadeRun:
    """Store a run of an experiment; InputError for a manifest that cannot run."""
    manifest = read_manifest(order.manifest)
    unknown = sorted(set(order.weights) - set(manifest.tasks))
    if unknown or not all(1 <= weight <= 10 for weight in order.weights.values()):
        raise InputError(f"weights: expected 1 to 10 for tasks of the experiment, got {unknown or order.weights}")
    revision_id = new_id(random)
    probes = [
        {
            "faultName": task.name,
            "probes": [
                {"ProbeID": one.probe_id, "Name": one.probe_id, "Mode": one.mode, "RevisionID": revision_id}
                for one in task.probe_ref or ()
            ],
        }
        for task in manifest.spec.tasks
    ]
    new = NewExperiment(
        new_id(random),
        revision_id,
        manifest.metadata.name,
        order.infra_id,
        order.manifest,
        order.weights,
        probes,
        order.plan,
    )
    experiment_id = add_experiment(connection, tenant, new, now_ns, created_by)
    key = new_key(random)
    duration = sum(
        max(
            duration_of(manifest.tasks[step.name].definition.chaos.settings) + probe_seconds(order.manifest, step.name)
            for step in group
        )
        + STEP_SECONDS
        + (manifest.spec.windows.longest_wait_seconds if manifest.spec.windows else 0)
        for group in manifest.spec.steps
    )
    run = NewRun(
        run_id=new_id(random),
        notify_id=new_id(random),
        key_sha256=sha256(key.encode()).hexdigest(),
        deadline_ns=now_ns + (duration + SETTLE_SECONDS) * NS_PER_SECOND,
        execution=msgspec.json.encode(first_execution(manifest, now_ns // NS_PER_SECOND)),
        governance=order.governance,
    )
    add_run(connection, experiment_id, revision_id, run, now_ns, created_by)
    if order.refused:
        block_run(connection, run, order, now_ns)
    log_token = create_log_token(
        connection,
        tenant.account,
        run.run_id,
        now_ns,
        random,
        expires_ns=run.deadline_ns + KEY_GRACE_NS,
        organization=tenant.organization,
        project=tenant.project,
    )
    return MadeRun(run.run_id, run.notify_id, experiment_id, key, log_token)


def block_run(connection: Connection, run: NewRun, order: Ordered, now_ns: int) -> None:
    """End a run before it began: no step of it is run, and no runner that comes for it has anything to do."""
    text = "blocked, nothing was injected: " + "; ".join(order.refused)
    execution = msgspec.json.decode(run.execution, type=Execution)
    execution = end_steps(execution, "Skipped", text[:MOST_TEXT], now_ns // NS_PER_SECOND)
    root = msgspec.structs.replace(execution.nodes[execution.name], phase="Blocked")
    nodes = dict(execution.nodes) | {execution.name: root}
    execution = msgspec.structs.replace(execution, phase="Blocked", nodes=nodes)
    score = orjson.dumps(list(score_of(execution, order.weights)))
    values = {"execution": msgspec.json.encode(execution), "score": score, "error_response": text}
    update_run(connection, run.run_id, completed=True, **values)


def duration_of(settings: Mapping[str, str]) -> int:
    """The seconds of a fault and of its ramps; InputError for anything else than a whole number."""
    total = 0
    for name, times in (("TOTAL_CHAOS_DURATION", 1), ("RAMP_TIME", 2)):
        text = settings.get(name, "0")
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) <= 3600):
            raise InputError(f"experiment: {name} is {text[:40]!r}: expected whole seconds, at most 3600")
        total += times * int(text)
    return total


def new_id(random: Callable[[int], bytes]) -> str:
    """A random UUID."""
    return str(uuid.UUID(bytes=random(16), version=4))


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
    """Merge an event into its run, and return whether there is such a run; after the completion nothing changes."""
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
    update_run(connection, run_id, execution=msgspec.json.encode(execution), **values)
    return True


def log_keys(run_id: str, execution: Execution) -> set[str]:
    """The keys of the log streams of the run's own steps."""
    return {
        node.chaos_data.stream_id
        for node in execution.steps.values()
        if node.chaos_data is not None and node.chaos_data.stream_id == f"{run_id}-{node.name}"
    }


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


def end_overdue(connection: Connection, now_ns: int) -> list[str]:
    """End every run whose deadline has passed, and return their ids: no fault of theirs can be on any more."""
    ended = []
    for row in open_runs(connection):
        if row["deadline_ns"] > now_ns:
            continue
        record = record_of(row)
        phase, message = ("Stopped", DEADLINE_MESSAGE) if record.stop_ns else ("Timeout", silence_of(row))
        end_run(connection, record, phase, message, now_ns, error="" if record.stop_ns else message)
        ended.append(record.run_id)
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
