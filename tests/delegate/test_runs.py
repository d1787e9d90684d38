"""An experiment's run by the hands of a delegate: its runner comes, is told to stop, and goes, dead or alive."""

import time

import pytest

from chaos.control.experiments.delegated.next_change import STOP_NS
from tests.delegate.delegated_runs import Object, Runs
from tests.delegate.delegated_runs import runs as runs  # noqa: PLC0414 - a fixture
from tests.delegate.kill_moments import kill_moments

pytestmark = [pytest.mark.cluster, pytest.mark.long]

OBJECTS = {"ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Service", "Deployment"}


def step(data: Object) -> tuple[str, str]:
    """Phase and message of the run's only step."""
    (node,) = (one for one in data["executionData"]["nodes"].values() if one["type"] == "K8sTask")
    return node["phase"], node["message"]


def test_run_is_brought_and_taken_away_by_the_delegate(runs: Runs) -> None:
    """Ordered, applied, run by the real runner with what the list gave it; then every object is as it was before."""
    before = runs.uids()
    with runs.delegate():
        run = runs.order(3)
        brought = runs.wait_for_task(run, "run")
        assert brought.status == "SUCCESS", brought
        assert {one["kind"] for one in brought.objects if one["result"] == "created"} == OBJECTS
        with runs.runner(run) as process:
            ended = runs.wait_for_end(run)
            assert process.wait(30) == 0
        assert (ended["phase"], ended["faultsPassed"]) == ("Completed", 1), ended["executionData"]
        removed = runs.wait_for_task(run, "remove")
        assert removed.status == "SUCCESS", removed
    assert runs.uids() == before
    assert runs.data(run)["phase"] == "Completed"


def test_stop_reaches_the_runner_by_its_config_map(runs: Runs) -> None:
    """The same list with the abort's annotations: the ConfigMap is changed, nothing else; the runner stops by it."""
    with runs.delegate():
        run = runs.order(120)
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        with runs.runner(run):
            runs.site.wait(lambda: step(runs.data(run))[0] == "Running")
            runs.stop(run)
            abort = runs.wait_for_task(run, "abort")
            annotations = runs.get("configmaps", run)["metadata"]["annotations"]
            ended = runs.wait_for_end(run)
        assert abort.status == "SUCCESS", abort
        changed = {name for name, result in abort.results().items() if result != "unchanged"}
        assert changed == {f"ConfigMap podsonar-run-{run[:8]}"}
        assert annotations["podsonar.io/action"] == "abort"
        assert (annotations["podsonar.io/abort-runs"], annotations["podsonar.io/abort-reason"]) == (run, "enough")
        assert ended["phase"] == "Stopped"
        assert "enough" in step(ended)[1]
        assert runs.wait_for_task(run, "remove").status == "SUCCESS"


def injector(runs: Runs, run: str, name: str, owner: str | None = None, of: str = "") -> str:
    """The name of a pod as a runner makes it for an injector, on a node; `owner`: of another Deployment."""
    deployment = runs.get("deployments", run, "/apis/apps/v1")["metadata"]
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner or deployment["name"]}
    metadata = {
        "name": name,
        "namespace": runs.site.namespace,
        "labels": {"podsonar.io/run-id": of or run, "podsonar.io/role": "injector"},
        "ownerReferences": [reference | {"uid": deployment["uid"]}],
    }
    spec = {"nodeName": "node-a", "terminationGracePeriodSeconds": 5, "containers": [{"name": "c", "image": "none"}]}
    runs.site.plane.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}])
    return name


def test_dead_runner_s_injectors_are_deleted_and_the_run_stops_when_they_are_gone(runs: Runs) -> None:
    """Runner killed: not confirmed, with the deadline, while a kubelet still holds an injector; `Stopped` after it."""
    with runs.delegate():
        run = runs.order(120)
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        with runs.runner(run) as process:
            runs.site.wait(lambda: step(runs.data(run))[0] == "Running")
            process.kill()
        injectors = [injector(runs, run, f"injector-{number}") for number in range(3)]
        others = [injector(runs, run, "of-another-run", of="0" * 8), injector(runs, run, "of-another", owner="other")]
        stopped_ns = time.time_ns()
        runs.stop(run)
        runs.site.wait(lambda: all(runs.pod(name)["metadata"].get("deletionTimestamp") for name in injectors))
        for name in injectors:
            data = runs.data(run)
            assert not data["completed"]
            assert "not confirmed; ends by itself no later than 20" in data["executionData"]["message"]
            runs.end_pod(name)
        ended = runs.wait_for_end(run)
    assert ended["phase"] == "Stopped"
    assert step(ended)[1] == "released; confirmed by the delegate: the runner and its injectors are gone"
    assert time.time_ns() - stopped_ns >= STOP_NS
    deleted = {name for name, result in runs.tasks(run)["remove"].results().items() if result == "deleted"}
    assert {f"Pod {name}" for name in injectors} | {f"Deployment podsonar-run-{run[:8]}"} <= deleted
    for name in others:
        assert "deletionTimestamp" not in runs.pod(name)["metadata"]


def kill_at_work(runs: Runs, run: str, action: str, seconds: float) -> None:
    """Start a delegate, and kill it so long after it began to work, if its task is not over before."""
    already = runs.site.log_text().count("task_began")
    process = runs.site.start(runners=True, namespaces=[runs.site.namespace, runs.targets])
    runs.site.wait(
        lambda: runs.site.log_text().count("task_began") > already or runs.tasks(run)[action].status == "SUCCESS"
    )
    time.sleep(seconds)
    process.kill()
    process.wait()


def test_delegate_killed_at_work_brings_one_runner_and_takes_all_of_it_away(runs: Runs) -> None:
    """Kill -9 while it applies and while it deletes: another one finishes, and no object is left."""
    moments = kill_moments()
    before = runs.uids()
    run = runs.order(120)
    for _ in range(3):
        kill_at_work(runs, run, "run", moments.uniform(0.0, 0.7))
    with runs.delegate():
        assert runs.wait_for_task(run, "run").status == "SUCCESS"
        runs.stop(run)
        assert runs.wait_for_task(run, "abort").status == "SUCCESS"
    runs.site.wait(lambda: "remove" in runs.tasks(run))
    kill_at_work(runs, run, "remove", moments.uniform(0.0, 0.7))
    with runs.delegate():
        assert runs.wait_for_end(run)["phase"] == "Stopped"
    assert runs.uids() == before


def test_refused_list_ends_the_run_with_the_reason(runs: Runs) -> None:
    """A delegate that accepts no runners: nothing is applied, and the run says why."""
    before = runs.uids()
    with runs.delegate(runners=False):
        run = runs.order(3)
        ended = runs.wait_for_end(run)
    assert ended["phase"] == "Error"
    reason = "a runner of experiments, and delegate.runners is false; "
    assert f"the delegate brought no runner: Deployment podsonar-run-{run[:8]}: {reason}" in ended["errorResponse"]
    assert runs.uids() == before


def test_stop_before_a_delegate_asked_ends_the_run_at_once(runs: Runs) -> None:
    """Nothing was applied, and nothing will be."""
    before = runs.uids()
    run = runs.order(3)
    runs.stop(run)
    ended = runs.wait_for_end(run)
    assert ended["phase"] == "Stopped"
    assert step(ended) == ("Skipped", "stopped before a delegate took it: nothing was applied")
    with runs.delegate():
        for _ in range(2):  # the second time it has had the answer to the first
            runs.wait_until_asked()
        assert runs.tasks(run)["run"].status == "ABORTED"
    assert runs.uids() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"delegate": "nobody"}, "known in 0 clusters, expected one", id="delegate"),
        pytest.param({"authority": "x"}, "authority holds no certificate", id="authority"),
    ],
)
def test_order_that_no_delegate_can_carry_out_is_refused(runs: Runs, change: Object, expected: str) -> None:
    """400 with the reason, and nothing is stored."""
    with pytest.raises(AssertionError, match=expected):
        runs.order(3, **change)
    assert runs.ask("GET").json()["items"] == []
