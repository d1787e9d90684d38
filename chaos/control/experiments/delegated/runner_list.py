"""A task of a run as the delegate gets it: the runner's list, the same list with the abort's annotations, or its end.

The runner's key and the token of its logs are derived from the delegate's own token when the list is handed out, as
those of agents are; the database gets their hashes. Image, manager and collector of the first list hold for the abort,
too. The agents' token, for `spec.windows`, is in no list: a list names the Secret that its delegate has named.
"""

from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping

from chaos.control.experiments.delegated.run_tasks import RunTasks
from chaos.control.experiments.runner_manifests import (
    RunIds,
    RunnerPlace,
    SecretKey,
    collector_image,
    runner_manifests,
    runner_name,
)
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.experiments.runs.store import let_write_logs, record_of
from chaos.runner.environment import ABORT, ABORT_REASON, ABORTED_RUNS
from manager.installations.agent_values import ConfigRefusedError, Source
from manager.installations.handout import AskingDelegate, derived_bytes, source_of, token_derived_for
from manager.installations.image_registry import apply_image_registry
from manager.installations.tasks import StoredTask, change_body
from manager.store.experiments.runs import find_run, new_key, update_run
from manager.store.tokens.token_format import Token

Object = dict[str, Any]


def task_of_run(
    connection: Connection, task: StoredTask, delegate: AskingDelegate, settings: Source, now_ns: int
) -> dict[str, Any]:
    """What a task of a run has beyond every task; ConfigRefusedError where there is nothing to do any more."""
    row = find_run(connection, task.tenant, str(task.run_id), lock=True)
    if row is None:
        raise ConfigRefusedError("the run is gone")
    record = record_of(row)
    tasks = RunTasks(connection, record)
    if task.kind == "delete":
        namespace = read_manifest(record.manifest).metadata.namespace
        injectors = {"namespace": namespace, "runID": record.run_id, "runner": runner_name(record.run_id)}
        return {"objects": tasks.owned, "injectors": injectors}
    if record.completed:
        raise ConfigRefusedError("the run is over")
    brought = tasks.get("run")
    body = (brought or task).body
    site = body.get("site") or site_of(connection, record, delegate, settings) | {
        "authority": body.get("authority", "")
    }
    if task.body.get("action") == "run":
        change_body(connection, task.id, task.body | {"site": site})
        register_keys(connection, record, delegate.token, now_ns)
    bodies = runner_list(record, site, delegate.token)
    if task.body.get("action") == "abort":
        bodies = with_abort(bodies, record)
        if not is_key_of(row, run_key(delegate.token, record.run_id)):  # the delegate's token was rotated meanwhile
            bodies = [body for body in bodies if body["kind"] != "Secret"]
    return {"manifests": bodies}


def site_of(connection: Connection, record: RunRecord, delegate: AskingDelegate, settings: Source) -> dict[str, Any]:
    """The runner's image with the secrets to pull it, the manager as its pod reaches it, and its collector, or none."""
    own = source_of(settings, delegate)
    if not own.manager_url:
        raise ConfigRefusedError("the delegate does not say how it reaches the manager: set agents.url of the manager")
    source, config = apply_image_registry(connection, record.tenant, own, {})
    image = collector_image(source.registry, source.tag)
    site = {"image": image, "pullSecrets": config["imagePullSecrets"] or [], "manager": source.manager_url.rstrip("/")}
    return site | {"directory": directory_of(record, delegate)}


def directory_of(record: RunRecord, delegate: AskingDelegate) -> dict[str, str] | None:
    """URL, Secret and key of the collector where the run orders windows; None for a run that wants none."""
    if record.manifest["spec"].get("windows") is None:
        return None
    if delegate.directory is None:
        raise ConfigRefusedError(
            "the experiment has spec.windows, and the delegate gives its runners no collector: expected its settings "
            "delegate.directory.url and delegate.directory.secret, or a runner of your own"
        )
    found: dict[str, str] = msgspec.to_builtins(delegate.directory)
    return found


def runner_list(record: RunRecord, site: dict[str, Any], delegate: Token) -> list[Object]:
    """The objects of the run's runner."""
    manifest, directory = read_manifest(record.manifest), site.get("directory")
    place = RunnerPlace(
        name=runner_name(record.run_id),
        namespace=manifest.metadata.namespace,
        image=site["image"],
        infra_id=record.infra_id,
        manager=site["manager"],
        account=record.account,
        organization=record.organization,
        project=record.project,
        environment=record.environment,
        access_key=run_key(delegate, record.run_id),
        log_token=token_derived_for(delegate, "log", record.run_id).text(),
        authority=site["authority"],
        directory=directory["url"] if directory else "",
        directory_secret=SecretKey(directory["secret"], directory["key"]) if directory else None,
        pull_secrets=tuple(site["pullSecrets"]),
    )
    return runner_manifests(place, RunIds(record.experiment_id, record.run_id, record.notify_id), manifest)


def with_abort(bodies: list[Object], record: RunRecord) -> list[Object]:
    """The same list, but for the annotations of the ConfigMap by which its runner stops."""
    added = {
        ABORT: "abort",
        ABORTED_RUNS: record.run_id,
        ABORT_REASON: record.stop_reason,
    }
    return [
        body | {"metadata": body["metadata"] | {"annotations": body["metadata"]["annotations"] | added}}
        if body["kind"] == "ConfigMap"
        else body
        for body in bodies
    ]


def run_key(delegate: Token, run_id: str) -> str:
    """The key of a run's runner."""
    return new_key(lambda _number: derived_bytes(delegate, "run key", run_id))


def is_key_of(row: RowMapping, key: str) -> bool:
    """Whether a key is the run's."""
    return bool(row["key_sha256"] == sha256(key.encode()).hexdigest())


def register_keys(connection: Connection, record: RunRecord, delegate: Token, now_ns: int) -> None:
    """Store the hashes of the run's key, in place of any other, and of the token of its logs."""
    update_run(connection, record.run_id, key_sha256=sha256(run_key(delegate, record.run_id).encode()).hexdigest())
    token = token_derived_for(delegate, "log", record.run_id)
    let_write_logs(connection, token, record.tenant, record.run_id, record.deadline_ns, now_ns)
