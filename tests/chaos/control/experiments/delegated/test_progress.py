"""chaos/control/experiments/delegated: what a delegate gets of a run, and what follows from its reports."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert

from chaos.control.experiments.delegated.find_delegate import find_cluster
from chaos.control.experiments.delegated.progress import AGAIN_NS, LOOK_BACK_NS, STOP_NS, follow_runs
from chaos.control.experiments.delegated.run_tasks import RunTasks, check_delegated, make_task
from chaos.control.experiments.delegated.runner_list import task_of_run
from chaos.control.experiments.runs.document import RunRecord
from chaos.control.experiments.runs.ends import end_overdue
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.experiments.runs.new_run import MadeRun, Ordered, make_run
from chaos.control.experiments.runs.store import record_of, request_stop
from delegate.stages.check import check
from manager.installations.agent_values import ConfigRefusedError, Source
from manager.installations.handout import AskingDelegate, task_wire
from manager.installations.installations import create_installation
from manager.installations.progress import sweep
from manager.installations.reports import Outcome, ReportedObject, StatusReport, store_report
from manager.installations.tasks import Delegate, StoredTask, lease_tasks
from manager.store.api_settings import save_settings
from manager.store.database import Store
from manager.store.delegate_tables import DELEGATES
from manager.store.experiments.runs import find_run, find_run_of_key
from manager.store.logs.tokens import find_log_writer
from manager.store.tenancy import Tenant
from manager.store.tokens.token_format import Token
from podsonar.errors import InputError
from podsonar.settings import DelegateRules
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.manager.installations.seed_agent import SEED, create_agent

TENANT = Tenant("acc", "org", "pro", "env")
DELEGATE = Delegate("d-1", Tenant("acc"), "cluster-1", "t-1")
FIRST, SECOND = Token("0" * 12, "a" * 43), Token("1" * 12, "b" * 43)
SOURCE = Source("", tag="9.9")
SECONDS = NS_PER_SECOND
NOON = 1_764_504_000 * SECONDS
KINDS = ("ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Role", "RoleBinding", "Service", "Deployment")


@dataclass
class Desk:
    """The manager's side of one run, with a clock that the test sets."""

    store: Store
    made: MadeRun
    now_ns: int = NOON

    @property
    def record(self) -> RunRecord:
        """The run as it is now."""
        with self.store.reading() as connection:
            row = find_run(connection, TENANT, self.made.run_id)
        assert row is not None
        return record_of(row)

    def task(self, action: Any) -> StoredTask | None:
        """A task of the run."""
        with self.store.reading() as connection:
            return RunTasks(connection, self.record).get(action)

    def lease(self) -> list[StoredTask]:
        """What the delegate gets now."""
        with self.store.writing() as connection:
            return lease_tasks(connection, DELEGATE, (), self.now_ns)

    def wire(self, task: StoredTask, token: Token = FIRST, settings: Source = SOURCE) -> dict[str, Any]:
        """The task as the delegate gets it."""
        with self.store.writing() as connection:
            asking = AskingDelegate(token, "https://manager.example/", allow_insecure_http=False)
            return task_wire(connection, task, asking, settings, self.now_ns, task_of_run)

    def report(self, task: StoredTask, status: Any, *, gone: bool = False, message: str = "", result: Any = "") -> None:
        """A report of the delegate, which is accepted; `result`: of the runner's Deployment."""
        name = f"podsonar-run-{self.made.run_id[:8]}"
        found = [ReportedObject("apps/v1", "Deployment", name, result, "v2", "uid-1")] if result else []
        sent = StatusReport("d-1", task.attempt, status, message, found, injectors_gone=gone)
        with self.store.writing() as connection:
            outcome = store_report(connection, DELEGATE.tenant, task.id, sent, self.now_ns, secrets.token_bytes)
        assert outcome is Outcome.ACCEPTED

    def bring(self) -> None:
        """The delegate applies the runner's list."""
        (task,) = self.lease()
        self.wire(task)
        self.report(task, "SUCCESS", result="created")

    def stop(self) -> None:
        """Somebody asks for the end, and the delegate applies the abort."""
        with self.store.writing() as connection:
            request_stop(connection, TENANT, self.made.run_id, "enough", self.now_ns)
        self.follow()

    def follow(self, seconds: float = 0.0) -> None:
        """Time passes, and the manager looks at its runs."""
        self.now_ns += int(seconds * SECONDS)
        with self.store.writing() as connection:
            follow_runs(connection, self.now_ns, secrets.token_bytes)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A run that waits for its delegate."""
    with closing(Store(f"sqlite:///{tmp_path}/manager.db")) as store:
        store.migrate()
        with store.writing() as connection:
            order = Ordered("prod", MANIFEST, {}, {}, {})
            made = make_run(connection, TENANT, order, NOON, "ada", secrets.token_bytes)
            make_task(connection, TENANT, made.run_id, "run", "cluster-1", NOON, secrets.token_bytes, "PEM")
        yield Desk(store, made)


def secret_of(bodies: list[dict[str, Any]]) -> dict[str, str]:
    """The members of the list's Secret."""
    found: dict[str, str] = next(body["stringData"] for body in bodies if body["kind"] == "Secret")
    return found


def test_list_has_the_keys_of_its_run_and_is_the_same_when_it_is_handed_out_again(desk: Desk) -> None:
    """The key opens the run and the token writes its logs; those of the order open nothing, nobody has them."""
    (task,) = desk.lease()
    found = desk.wire(task)
    assert tuple(body["kind"] for body in found["manifests"]) == KINDS
    assert (found["kind"], found["await"], found["log"]["key"]) == (
        "apply",
        {"seconds": 60.0},
        f"{desk.made.run_id}-delegate",
    )
    secret = secret_of(found["manifests"])
    with desk.store.reading() as connection:
        assert find_run_of_key(connection, secret["ACCESS_KEY"]) == desk.made.run_id
        assert find_run_of_key(connection, desk.made.key) is None
    writer = find_log_writer(desk.store, secret["LOG_SERVICE_TOKEN"], NOON + 1)
    assert writer is not None
    assert writer.may_write("acc", f"{desk.made.run_id}-step")
    settings = next(body["data"] for body in found["manifests"] if body["kind"] == "ConfigMap")
    assert settings["KUBERNETES_INFRA_SERVICE_ENDPOINT"] == "https://manager.example/chaos/kserver/api"
    assert settings["PODSONAR_MANAGER_CA"] == "PEM"
    pod = found["manifests"][-1]["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], "imagePullSecrets" in pod) == ("localhost/podsonar-collector:9.9", False)
    desk.now_ns += 61 * SECONDS
    (again,) = desk.lease()
    assert again.attempt == 2
    assert desk.wire(again)["manifests"] == found["manifests"]


def test_images_come_from_the_tenant_s_registry(desk: Desk) -> None:
    """With the secrets to pull them."""
    with desk.store.writing() as connection:
        registry = {"server": "registry.example", "account": "mirror", "secrets": ["pull"]}
        save_settings(connection, TENANT, registry, "ada", NOON)
    (task,) = desk.lease()
    pod = desk.wire(task)["manifests"][-1]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/mirror/podsonar-collector:9.9"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize("rotated", [False, True])
def test_abort_is_the_same_list_but_for_the_config_map(desk: Desk, rotated: bool) -> None:
    """Whatever was upgraded meanwhile; without the Secret, which is accepted, if the delegate's token was rotated."""
    (task,) = desk.lease()
    first = desk.wire(task)["manifests"]
    desk.report(task, "SUCCESS", result="created")
    desk.stop()
    (abort,) = desk.lease()
    found = desk.wire(abort, SECOND if rotated else FIRST, SOURCE._replace(tag="10.0"))
    assert found["await"] == {"seconds": 0.0}
    annotations = {
        "podsonar.io/action": "abort",
        "podsonar.io/abort-runs": desk.made.run_id,
        "podsonar.io/abort-reason": "enough",
    }
    expected = []
    for body in first:
        metadata = body["metadata"]
        if body["kind"] == "ConfigMap":
            metadata = metadata | {"annotations": metadata["annotations"] | annotations}
        if body["kind"] != "Secret" or not rotated:
            expected.append(body | {"metadata": metadata})
    assert found["manifests"] == expected
    places = sorted({body["metadata"]["namespace"] for body in first})
    rules = DelegateRules(
        name="d", namespaces=places, image_prefixes=["localhost/podsonar-"], rbac="managed", runners=True
    )
    assert check(found["manifests"], rules) == []


def test_run_that_is_over_is_not_brought_any_more(desk: Desk) -> None:
    """The task ends where a delegate takes it after the run's deadline."""
    with desk.store.writing() as connection:
        assert end_overdue(connection, desk.record.deadline_ns) == [desk.made.run_id]
    (task,) = desk.lease()
    with pytest.raises(ConfigRefusedError, match="the run is over"):
        desk.wire(task)
    desk.follow()
    assert desk.task("remove") is None


@pytest.mark.parametrize("gone", [False, True])
def test_dead_runner_s_run_stops_once_its_delegate_says_that_all_is_gone(desk: Desk, gone: bool) -> None:
    """Never before; a delegate that does not say so leaves it to the deadline, with the reason."""
    desk.bring()
    desk.stop()
    (abort,) = desk.lease()
    desk.report(abort, "SUCCESS")
    desk.follow(STOP_NS / SECONDS - 0.1)
    assert desk.task("remove") is None
    desk.follow(0.1)
    (removal,) = desk.lease()
    wire = desk.wire(removal)
    assert [one["uid"] for one in wire["objects"]] == ["uid-1"]
    assert wire["injectors"] == {
        "namespace": "v2",
        "runID": desk.made.run_id,
        "runner": f"podsonar-run-{desk.made.run_id[:8]}",
    }
    desk.follow()
    assert not desk.record.completed
    desk.report(
        removal, "SUCCESS" if gone else "FAILED", gone=gone, message="" if gone else "Pod x: not gone after 300 s"
    )
    desk.follow()
    desk.follow()
    record = desk.record
    (text,) = {node.message for node in record.execution.steps.values()}
    if gone:
        assert (record.completed, record.execution.phase, record.score.stopped) == (True, "Stopped", 2)
        assert text == "released; confirmed by the delegate: the runner and its injectors are gone"
        return
    assert (record.completed, record.execution.phase) == (False, "Queued")
    assert "not confirmed (Pod x: not gone after 300 s); ends by itself no later than" in record.execution.message
    with desk.store.writing() as connection:
        end_overdue(connection, record.deadline_ns)
    assert desk.record.execution.phase == "Stopped"
    desk.follow()
    assert desk.lease() == []


def test_older_delegate_that_deletes_without_a_word_of_injectors_confirms_nothing(desk: Desk) -> None:
    """It knows nothing of them: SUCCESS says that the objects are gone."""
    desk.bring()
    desk.stop()
    (abort,) = desk.lease()
    desk.report(abort, "SUCCESS")
    desk.follow(11)
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", result="deleted")
    desk.follow()
    assert not desk.record.completed
    assert "not confirmed (the delegate did not say" in desk.record.execution.message


def test_runner_that_does_not_start_ends_the_run_with_the_reason_once_it_is_gone(desk: Desk) -> None:
    """The objects are there, so that it might start yet: they go first."""
    (task,) = desk.lease()
    desk.report(task, "FAILED", result="created", message="Deployment v2/r: not available after 60 s: ErrImagePull")
    desk.follow()
    assert not desk.record.completed
    (removal,) = desk.lease()
    desk.report(removal, "SUCCESS", gone=True, result="deleted")
    desk.follow()
    record = desk.record
    assert (record.completed, record.execution.phase) == (True, "Error")
    assert record.error_response.endswith("not available after 60 s: ErrImagePull")


def test_run_that_no_delegate_took_in_time_is_timeout(desk: Desk) -> None:
    """Its task expires before its own deadline, which is later here."""
    sweep(desk.store, NOON + 601 * SECONDS, secrets.token_bytes, lambda _kind: None)
    desk.follow()
    assert desk.record.execution.phase == "Timeout"
    assert "the delegate brought no runner: no delegate asked for the task in time" in desk.record.error_response


@pytest.mark.parametrize("retained", [False, True])
def test_what_is_left_of_a_run_goes_unless_it_is_retained(desk: Desk, retained: bool) -> None:
    """By uid, once; a run is not looked at for ever."""
    desk.bring()
    if retained:
        spec = MANIFEST["spec"] | {"cleanupPolicy": "retain"}
        with desk.store.writing() as connection:
            connection.exec_driver_sql(
                "UPDATE experiment_revisions SET manifest = ?", (orjson.dumps(MANIFEST | {"spec": spec}),)
            )
    with desk.store.writing() as connection:
        end_overdue(connection, desk.record.deadline_ns)
    desk.follow()
    desk.follow()
    assert [task.kind for task in desk.lease()] == ([] if retained else ["delete"])
    desk.follow(LOOK_BACK_NS / SECONDS)
    assert (desk.task("remove") is None) is retained


def test_removal_that_failed_is_tried_again_and_not_for_ever(desk: Desk) -> None:
    """A node was away, or no delegate asked: ten minutes later, until the day is over."""
    desk.bring()
    with desk.store.writing() as connection:
        end_overdue(connection, desk.record.deadline_ns)
    desk.follow()
    (removal,) = desk.lease()
    desk.report(removal, "FAILED", message="not gone after 300 s: no finalizer")
    desk.follow(AGAIN_NS / SECONDS - 1)
    assert desk.lease() == []
    desk.follow(1)
    (again,) = desk.lease()
    assert desk.wire(again)["objects"][0]["uid"] == "uid-1"
    desk.report(again, "SUCCESS", gone=True, result="deleted")
    desk.follow(AGAIN_NS / SECONDS)
    assert desk.lease() == []


def known_delegate(name: str, tenant: Tenant, cluster: str) -> dict[str, Any]:
    """A row of a delegate that has asked."""
    row = {"id": secrets.token_hex(4), **tenant._asdict(), "name": name, "token_id": "t", "cluster_uid": cluster}
    return row | {"cluster_version": "", "version": "", "namespaces": b"[]", "created_ns": 1, "seen_ns": 1}


def test_delegate_is_the_one_that_is_named_or_that_installed_the_agent(desk: Desk) -> None:
    """In its own account alone; of a name in two clusters nobody knows which is meant."""
    agent = create_agent(desk.store, TENANT, SEED, NOON, permanent=True)
    with desk.store.writing() as connection:
        rows = [("a", "acc", "c-1"), ("b", "acc", "c-1"), ("b", "acc", "c-2"), ("c", "other", "c-3")]
        for name, account, cluster in rows:
            connection.execute(insert(DELEGATES), known_delegate(name, Tenant(account), cluster))
        assert find_cluster(connection, TENANT, "prod", "a") == "c-1"
        for name, number in (("b", 2), ("c", 0)):
            with pytest.raises(InputError, match=f"known in {number} clusters, expected one"):
                find_cluster(connection, TENANT, "prod", name)
        assert find_cluster(connection, TENANT, agent.identity, "") is None
        create_installation(connection, agent, NOON, secrets.token_bytes)
    installing = next(task for task in desk.lease() if task.agent_id)
    desk.report(installing, "SUCCESS", result="created")
    with desk.store.reading() as connection:
        assert find_cluster(connection, TENANT, agent.identity, "") == "cluster-1"
        assert find_cluster(connection, TENANT._replace(environment="x"), agent.identity, "") is None


@pytest.mark.parametrize(
    ("tenant", "spec", "expected"),
    [
        (TENANT, {"windows": {}}, "spec.windows needs the agents' token"),
        (Tenant("acc"), {}, "expected project and environment"),
    ],
)
def test_run_whose_runner_would_not_start_is_not_ordered(tenant: Tenant, spec: dict[str, Any], expected: str) -> None:
    """The reason names what is missing."""
    manifest = read_manifest(MANIFEST | {"spec": MANIFEST["spec"] | spec})
    with pytest.raises(InputError, match=expected):
        check_delegated(manifest, tenant)
