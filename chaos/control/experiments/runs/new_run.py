"""A new run in the store: made from a manifest, blocked at once if guards refuse it."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import orjson
from sqlalchemy import Connection

from chaos.control.experiments.runs.ends import MOST_TEXT, end_steps
from chaos.control.experiments.runs.events import Execution, check_state
from chaos.control.experiments.runs.manifest import first_execution, probe_seconds, read_manifest
from chaos.control.experiments.runs.score import score_of
from manager.store.experiments.runs import NewExperiment, NewRun, add_experiment, add_run, new_key, update_run
from manager.store.tenancy import Tenant
from podsonar.errors import InputError
from podsonar.timestamp import NS_PER_SECOND

SETTLE_SECONDS = 60  # beyond what a run's steps can take
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
    """Ids of a new run, its runner's key, shown this once, and its deadline."""

    run_id: str
    notify_id: str
    experiment_id: str
    key: str
    deadline_ns: int


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
        execution=check_state(first_execution(manifest, now_ns // NS_PER_SECOND)),
        governance=order.governance,
    )
    add_run(connection, experiment_id, revision_id, run, now_ns, created_by)
    if order.refused:
        block_run(connection, run, order, now_ns)
    return MadeRun(run.run_id, run.notify_id, experiment_id, key, run.deadline_ns)


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
