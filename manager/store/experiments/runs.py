"""Experiments, their revisions and runs: rows in, rows out; what the JSON in them means is not known here."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, RowMapping, exists, func, insert, select, update

from manager.store.delegate_tables import DELEGATE_TASKS
from manager.store.experiments.tables import EXPERIMENT_REVISIONS, EXPERIMENT_RUNS, EXPERIMENTS, RUN_EVENTS
from manager.store.tenancy import Tenant, of_tenant

RUN_COLUMNS: tuple[Any, ...] = (
    EXPERIMENT_RUNS,
    *(EXPERIMENTS.c[name] for name in ("account", "organization", "project", "environment", "name", "infra_id")),
    EXPERIMENTS.c.removed_ns,
    *(EXPERIMENT_REVISIONS.c[name] for name in ("manifest", "weights", "probes", "plan")),
)


class NewRun(NamedTuple):
    """What a run is made of; the ids and the hash of its key come from the caller."""

    run_id: str
    notify_id: str
    key_sha256: str
    deadline_ns: int
    execution: bytes
    governance: Mapping[str, Any]


class NewExperiment(NamedTuple):
    """An experiment's manifest as sent, and what belongs to it."""

    experiment_id: str
    revision_id: str
    name: str
    infra_id: str
    manifest: Mapping[str, Any]
    weights: Mapping[str, int]
    probes: list[Any]
    plan: Mapping[str, Any]


def add_experiment(connection: Connection, tenant: Tenant, new: NewExperiment, now_ns: int, created_by: str) -> str:
    """Store a revision of the tenant's experiment of that name, and return the experiment's id."""
    known = connection.execute(
        select(EXPERIMENTS.c.id).where(
            of_tenant(EXPERIMENTS, tenant), EXPERIMENTS.c.name == new.name, EXPERIMENTS.c.removed_ns.is_(None)
        )
    ).scalar()
    experiment_id = known or new.experiment_id
    if known is None:
        row = {"id": experiment_id, **tenant._asdict(), "name": new.name, "infra_id": new.infra_id}
        connection.execute(insert(EXPERIMENTS), row | {"created_ns": now_ns, "created_by": created_by})
    else:
        connection.execute(update(EXPERIMENTS).where(EXPERIMENTS.c.id == known).values(infra_id=new.infra_id))
    packed = {name: orjson.dumps(getattr(new, name)) for name in ("manifest", "weights", "probes", "plan")}
    row = {"id": new.revision_id, "experiment_id": experiment_id, "created_ns": now_ns} | packed
    connection.execute(insert(EXPERIMENT_REVISIONS), row)
    return experiment_id


def add_run(
    connection: Connection, experiment_id: str, revision_id: str, new: NewRun, now_ns: int, created_by: str
) -> None:
    """Store a run that nothing has happened in."""
    runs = EXPERIMENT_RUNS
    last = connection.execute(select(func.max(runs.c.sequence)).where(runs.c.experiment_id == experiment_id)).scalar()
    connection.execute(
        insert(runs),
        {
            "id": new.run_id,
            "notify_id": new.notify_id,
            "experiment_id": experiment_id,
            "revision_id": revision_id,
            "sequence": (last or 0) + 1,
            "completed": False,
            "execution": new.execution,
            "governance": orjson.dumps(new.governance),
            "error_response": "",
            "key_sha256": new.key_sha256,
            "created_ns": now_ns,
            "created_by": created_by,
            "updated_ns": now_ns,
            "deadline_ns": new.deadline_ns,
            "stop_reason": "",
        },
    )


def select_runs() -> Any:  # noqa: ANN401 - a Select of many columns
    """Runs with what their experiment and revision say."""
    joined = EXPERIMENT_RUNS.join(EXPERIMENTS, EXPERIMENT_RUNS.c.experiment_id == EXPERIMENTS.c.id).join(
        EXPERIMENT_REVISIONS, EXPERIMENT_RUNS.c.revision_id == EXPERIMENT_REVISIONS.c.id
    )
    return select(*RUN_COLUMNS).select_from(joined)


def find_run(connection: Connection, tenant: Tenant, run_id: str, *, lock: bool = False) -> RowMapping | None:
    """A run of a tenant; with `lock` until the transaction ends."""
    query = select_runs().where(of_tenant(EXPERIMENTS, tenant), EXPERIMENT_RUNS.c.id == run_id)
    return first_run(connection, query, lock=lock)


def find_run_of_any_tenant(connection: Connection, run_id: str, *, lock: bool = False) -> RowMapping | None:
    """A run, for the manager's own use."""
    return first_run(connection, select_runs().where(EXPERIMENT_RUNS.c.id == run_id), lock=lock)


def first_run(connection: Connection, query: Any, *, lock: bool) -> RowMapping | None:  # noqa: ANN401 - as above
    """What a query finds; with `lock` until the transaction ends, which SQLite needs no word for."""
    query = query.with_for_update(of=EXPERIMENT_RUNS) if lock else query
    found: RowMapping | None = connection.execute(query).mappings().first()
    return found


def find_run_id(connection: Connection, tenant: Tenant, notify_id: str, experiment_id: str) -> str | None:
    """The id of a run by its notify id and its experiment."""
    runs = EXPERIMENT_RUNS
    query = select(runs.c.id).join(EXPERIMENTS, runs.c.experiment_id == EXPERIMENTS.c.id)
    query = query.where(of_tenant(EXPERIMENTS, tenant), runs.c.notify_id == notify_id)
    return connection.execute(query.where(runs.c.experiment_id == experiment_id)).scalar()


def find_run_of_key(connection: Connection, key: str) -> str | None:
    """The id of the run that a runner's key is for."""
    digest = sha256(key.encode()).hexdigest()
    return connection.execute(select(EXPERIMENT_RUNS.c.id).where(EXPERIMENT_RUNS.c.key_sha256 == digest)).scalar()


def account_of_run(connection: Connection, run_id: str) -> str | None:
    """The account of a run."""
    joined = EXPERIMENT_RUNS.join(EXPERIMENTS, EXPERIMENT_RUNS.c.experiment_id == EXPERIMENTS.c.id)
    query = select(EXPERIMENTS.c.account).select_from(joined).where(EXPERIMENT_RUNS.c.id == run_id)
    return connection.execute(query).scalar()


def list_runs(connection: Connection, tenant: Tenant, limit: int) -> Iterator[RowMapping]:
    """The newest runs of a tenant; read one at a time, since each may hold megabytes of manifest and state."""
    runs = EXPERIMENT_RUNS
    newest = select(runs.c.id).join(EXPERIMENTS, runs.c.experiment_id == EXPERIMENTS.c.id)
    newest = newest.where(of_tenant(EXPERIMENTS, tenant)).order_by(runs.c.created_ns.desc()).limit(limit)
    for run_id in connection.execute(newest).scalars().all():
        row = find_run(connection, tenant, run_id)
        if row is not None:
            yield row


def open_runs(connection: Connection) -> list[RowMapping]:
    """`id`, `deadline_ns` and `stop_ns` of every run that has not completed."""
    runs = EXPERIMENT_RUNS.c
    query = select(runs.id, runs.deadline_ns, runs.stop_ns).where(runs.completed.is_(False))
    return list(connection.execute(query.order_by(runs.created_ns)).mappings())


def overdue_runs(connection: Connection, now_ns: int) -> list[str]:
    """The ids of runs that have not completed by their deadline."""
    runs = EXPERIMENT_RUNS.c
    query = select(runs.id).where(runs.completed.is_(False), runs.deadline_ns <= now_ns)
    return list(connection.execute(query.order_by(runs.created_ns)).scalars())


def runs_of_delegates(connection: Connection, since_ns: int) -> list[str]:
    """The ids of runs that have tasks of delegates and are not over.

    These are open ones, and those with a later deadline that are not removed.
    """
    tasks, runs = DELEGATE_TASKS.c, EXPERIMENT_RUNS.c
    has_tasks = exists().where(tasks.run_id == runs.id)
    removed = exists().where(tasks.run_id == runs.id, tasks.kind == "delete", tasks.status == "SUCCESS")
    is_left = runs.completed.is_(True) & (runs.deadline_ns > since_ns) & ~removed
    query = select(runs.id).where(has_tasks, runs.completed.is_(False) | is_left)
    return list(connection.execute(query.order_by(runs.created_ns)).scalars())


def append_event(connection: Connection, run_id: str, body: bytes, now_ns: int, *, late: bool) -> bool:
    """Store an event, and return whether it is new."""
    events, digest = RUN_EVENTS, sha256(body).hexdigest()
    known = select(events.c.sequence).where(events.c.run_id == run_id, events.c.sha256 == digest)
    if connection.execute(known).scalar() is not None:
        return False
    last = connection.execute(select(func.max(events.c.sequence)).where(events.c.run_id == run_id)).scalar()
    row = {"run_id": run_id, "sequence": (last or 0) + 1, "sha256": digest, "received_ns": now_ns, "late": late}
    connection.execute(insert(events), row | {"body": body})
    return True


def update_run(connection: Connection, run_id: str, **values: Any) -> None:  # noqa: ANN401 - of columns
    """Change a run."""
    connection.execute(update(EXPERIMENT_RUNS).where(EXPERIMENT_RUNS.c.id == run_id).values(**values))


def new_key(random_bytes: Callable[[int], bytes]) -> str:
    """A key of 32 lower-case letters and digits, 165 bits: the shape that runners expect."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    number = int.from_bytes(random_bytes(32))
    text = ""
    for _ in range(32):
        number, place = divmod(number, len(alphabet))
        text += alphabet[place]
    return text
