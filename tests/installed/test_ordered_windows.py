"""Runs with `spec.windows` on real nodes: the windows come on order, the map judges by them, and ends a run by them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.real_cluster.cluster import RealCluster
from podsonar.errors import ApiServerError
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.installed import experiments
from tests.installed.account_api import WHERE, ApiOfAccount, token
from tests.installed.experiments import Object, Operator, Ordered
from tests.installed.releases import ordered_release
from tests.installed.releases.ordered_release import (
    DELEGATE,
    DIRECTORY,
    FAR,
    INFRA,
    NAMESPACE,
    NEAR,
    NOBODY,
    PORT,
    TOKEN_SECRET,
)
from tests.installed.windows import REPORT_SECONDS

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

JUDGED: Object = {"seconds": 20, "baseline": 1, "recovery": 2}
STOPPED: Object = {"seconds": 5, "baseline": 3, "recovery": 0}
DELEGATED: Object = {"seconds": 5, "baseline": 1, "recovery": 0}
JUDGED_KINDS = ["baseline"] + ["fault"] * 4 + ["recovery"] * 2  # a fault of 45 s, and 20 s to prepare it
RELEASED_SECONDS = 30
CUT_SECONDS = 90.0  # until a run's fault is in: windows ahead, its baseline, its injectors


@dataclass
class Course:
    """The runs: how they ended, the windows of the first, and what the map said of it; and the one of a delegate."""

    scheduled: Object = field(default_factory=dict)
    judged: Object = field(default_factory=dict)
    windows: list[Object] = field(default_factory=list)
    maps: list[Object] = field(default_factory=list)
    impact: Object = field(default_factory=dict)
    stopped: Object = field(default_factory=dict)
    released_seconds: float = 0.0
    delegated: Object = field(default_factory=dict)
    delegated_windows: list[Object] = field(default_factory=list)
    delegated_maps: list[Object] = field(default_factory=list)


def experiment(name: str, seconds: int, **spec: Any) -> Object:
    """An experiment that cuts `front -> near`."""
    settings = {
        "DESTINATION_SERVICE": f"{NAMESPACE}/near",
        "POD_AFFECTED_PERCENTAGE": "100",
        "TOTAL_CHAOS_DURATION": str(seconds),
    }
    env = [{"name": key, "value": value} for key, value in settings.items()]
    workloads = [{"kind": "deployment", "namespace": NAMESPACE, "names": "front"}]
    definition = {
        "targets": {"selectors": {"workloads": workloads}},
        "chaos": {"experiment": "edge-partition", "env": env},
    }
    referred = [{"probeID": one["name"], "mode": "EOT"} for one in spec.get("probes", ())]
    return {
        "kind": "KubernetesChaosExperiment",
        "apiVersion": "litmuschaos.io/v1alpha1",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "tasks": [{"name": "cut", "definition": definition, "probeRef": referred}],
            "steps": [[{"name": "cut", "status": ""}]],
            "cleanupPolicy": "delete",
            **spec,
        },
    }


def edge_probe(expect: str, edge: str) -> Object:
    """A probe of an edge while the fault is in."""
    inputs = {"edge": edge, "expect": expect, "minAttempts": 3}
    return {"name": expect, "type": "edgeProbe", "edgeProbe/inputs": inputs, "runProperties": {"probeTimeout": "60s"}}


class Runs:
    """An operator who orders runs with windows, and what the manager shows of them."""

    def __init__(self, operator: Operator, api: ApiOfAccount, token_file: str) -> None:
        self.operator, self.api = operator, api
        self.options = ("--directory", DIRECTORY, "--directory-token-file", token_file)

    def order(self, ordered: Object) -> Ordered:
        """Order a run."""
        return self.operator.order(INFRA, ordered, *self.options)

    def known_windows(self) -> list[Object]:
        """Every window of the agents, oldest first."""
        found = self.api.client.get(f"/agents/{INFRA}/windows", params=WHERE)
        items: list[Object] = found.json()["items"] if found.is_success else []
        return sorted(items, key=lambda one: str(one["id"]))

    def windows_of(self, run: Ordered) -> list[Object]:
        """Those that a run ordered."""
        return [one for one in self.known_windows() if (one.get("purpose") or {}).get("run") == run.run_id]

    def map(self, window: str) -> Object:
        """The map of a window; empty before there is one."""
        query = {**WHERE, "window": window, "namespace": NAMESPACE}
        found = self.api.client.get(f"/agents/{INFRA}/map", params=query)
        return dict(found.json()) if found.is_success else {"observation": {}}

    def is_whole(self, window: str) -> bool:
        """Whether both nodes have reported a window."""
        return len(self.map(window)["observation"]) == self.operator.cluster.layout.size

    def impact(self, run: Ordered) -> Object:
        """What the map says of a run."""
        path = f"{self.operator.url}/v1/chaos/runs/{run.run_id}/impact"
        found: Object = self.api.client.get(path, params=WHERE).raise_for_status().json()
        return found

    def explanation(self, run: Ordered) -> Object:
        """What the run, the map and the runner say, for a run that goes on."""
        said = self.operator.report(run)["executionData"]
        return {"run": said, "impact": self.impact(run), "runner": self.operator.log(run)}

    def wait_until_cut(self) -> None:
        """Return once the fault is in on every pod of `front`."""
        front = {pod["metadata"]["uid"] for pod in self.operator.pods(app="front")}
        cluster = self.operator.cluster
        cluster.wait("both are cut off", lambda: set(experiments.faults_of_pods(cluster)) == front, CUT_SECONDS)


def run_judged(runs: Runs, course: Course) -> None:
    """A run whose edge breaks as it says, to the end of its recovery."""
    cluster = runs.operator.cluster
    probes = [edge_probe("breaks", NEAR), edge_probe("holds", FAR)]
    claims = {"degrades": [NEAR], "holds": [FAR], "elsewhere": "ignored"}
    run = runs.order(experiment("judged", 45, probes=probes, hypothesis=claims, windows=JUDGED))
    runs.wait_until_cut()
    course.judged = runs.operator.wait_for_end(run, 240)
    cluster.wait("every window came", lambda: len(runs.windows_of(run)) == len(JUDGED_KINDS), REPORT_SECONDS)
    course.windows = runs.windows_of(run)
    cluster.wait("the last one is whole", lambda: runs.is_whole(course.windows[-1]["id"]), REPORT_SECONDS)
    course.maps = [runs.map(one["id"]) for one in course.windows]
    cluster.wait("nothing more may come", lambda: runs.impact(run)["settled"] is True, REPORT_SECONDS)
    course.impact = runs.impact(run)


def run_stopped(runs: Runs, course: Course) -> None:
    """A run during which another edge breaks than the one that it cuts."""
    cluster = runs.operator.cluster
    claims = {"holds": [FAR], "elsewhere": "ignored"}
    run = runs.order(experiment("stopped", 100, hypothesis=claims, windows=STOPPED))
    runs.wait_until_cut()
    ordered_release.lead_far_to(cluster, NOBODY)
    begun = time.monotonic()
    try:
        cluster.wait("the fault is over", lambda: not experiments.faults_of_pods(cluster), 3 * RELEASED_SECONDS)
    except ApiServerError as error:
        pytest.fail(f"{error}: {runs.explanation(run)}")
    course.released_seconds = time.monotonic() - begun
    course.stopped = runs.operator.wait_for_end(run, 240)


def names_of(found: Object) -> set[str]:
    """The names of a list of objects."""
    return {one["metadata"]["name"] for one in found["items"]}


def run_delegated(runs: Runs, course: Course) -> None:
    """A run whose runner a delegate brings, and takes away; the agents' Secret is as it was."""
    operator, cluster = runs.operator, runs.operator.cluster
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets"
    secret = cluster.get(f"{path}/{TOKEN_SECRET}")
    ordered_release.start_delegate(cluster, operator.folder, token(cluster, "delegate"))
    file = operator.folder / "delegated.yaml"
    file.write_text(yaml.safe_dump(experiment("delegated", 5, windows=DELEGATED)))
    made: list[Ordered] = []

    def is_ordered() -> bool:
        words = (*experiments.TENANT, "--infra", INFRA, "--delegate", DELEGATE, str(file))
        try:
            made.append(Ordered(operator.chaos("run", *words).strip(), Path(), time.monotonic()))
        except AssertionError as error:
            if "is known in 0 clusters" not in str(error):  # it has not asked yet
                raise
        return bool(made)

    cluster.wait("a delegate brings the run", is_ordered, 60)
    (run,) = made
    cluster.wait("the run is over", lambda: operator.report(run)["completed"] is True, CUT_SECONDS)
    course.delegated = operator.report(run)
    cluster.wait("its baseline came", lambda: bool(runs.windows_of(run)), REPORT_SECONDS)
    baseline = runs.windows_of(run)[0]
    cluster.wait("it is whole", lambda: runs.is_whole(baseline["id"]), REPORT_SECONDS)
    course.delegated_windows, course.delegated_maps = runs.windows_of(run), [runs.map(baseline["id"])]
    name = f"podsonar-run-{run.run_id[:8]}"
    cluster.wait("its own Secret is gone", lambda: name not in names_of(cluster.get(path)))
    assert cluster.get(f"{path}/{TOKEN_SECRET}") == secret


@pytest.fixture(scope="module")
def course(installed: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """The window of the schedule, in which `far` is broken; then it is mended, and both runs follow."""
    folder, made = tmp_path_factory.mktemp("ordered"), Course()
    try:
        token_file = ordered_release.start(installed, folder)
        api = ApiOfAccount(installed)
        key = api.client.headers["X-API-Key"]
        with api.client, experiments.forwarded_manager(installed) as url:
            operator = Operator(installed, url, folder, key, NAMESPACE)
            runs = Runs(operator, api, str(token_file))
            installed.wait("the schedule's window came", runs.known_windows, REPORT_SECONDS)
            (scheduled,) = runs.known_windows()
            installed.wait("it is whole", lambda: runs.is_whole(scheduled["id"]), REPORT_SECONDS)
            made.scheduled = runs.map(scheduled["id"])
            ordered_release.lead_far_to(installed, PORT)
            run_judged(runs, made)
            run_delegated(runs, made)
            run_stopped(runs, made)
            yield made
    finally:
        ordered_release.end(installed)


def counts(found: Object, target: str) -> tuple[int, int]:
    """Attempts of `front` at a Service on a map, and how many of them were established."""
    names = {place["id"]: place["name"] for place in found["services"]}
    (edge,) = [one for one in found["edges"] if (names[one["source"]], names[one["destination"]]) == ("front", target)]
    return edge["attempts"], edge["established"]


def message_of(run: Object) -> str:
    """What a run's step says at its end."""
    (message,) = [node["message"] for node in run["executionData"]["nodes"].values() if node["type"] == "K8sTask"]
    return str(message)


def test_windows_come_as_they_were_ordered(course: Course) -> None:
    """Baseline, fault and recovery, back to back, of both nodes, each with its run and kind on its map."""
    assert [one["purpose"]["kind"] for one in course.windows] == JUDGED_KINDS
    starts = [parse_rfc3339(one["id"]) // NS_PER_SECOND for one in course.windows]
    assert starts == list(range(starts[0], starts[0] + 20 * len(starts), 20))
    for window, found in zip(course.windows, course.maps, strict=True):
        assert found["window"]["purpose"] == window["purpose"]
        assert set(found["observation"]) == {"node-a", "node-b"}


def test_run_is_judged_by_the_windows_that_it_ordered(course: Course) -> None:
    """Both probes and the report pass; the hourly window, in which an edge was broken that must hold, is not asked."""
    assert course.judged["phase"] == "Completed", message_of(course.judged)
    kinds = {one["id"]: one["purpose"]["kind"] for one in course.windows}
    used = [(one["kind"], kinds.get(one["id"])) for one in course.impact["windows"]]
    assert [one for one in used if one[0] == "baseline"] == [("baseline", "baseline")]
    assert ("fault", "fault") in used
    assert ("recovery", "recovery") in used
    assert course.impact["report"]["verdict"] == "Pass", course.impact["report"]
    attempts, established = counts(course.scheduled, "far")
    assert (attempts >= 5, established) == (True, 0)


def test_edge_that_breaks_against_the_ordered_baseline_ends_the_run(course: Course) -> None:
    """It was broken in the hourly window and held in the run's own baseline: the fault is released in its time."""
    message = message_of(course.stopped)
    assert course.stopped["phase"] == "Stopped", message
    assert message.startswith(f"stop asked: edge outside the prediction: {FAR}: broken: 0 of "), message
    assert NEAR not in message
    assert "2 pods, released by G2" in message
    assert course.released_seconds <= RELEASED_SECONDS


def test_run_of_a_delegate_orders_windows_with_the_token_of_the_agents_secret(course: Course) -> None:
    """Its fault was in, behind a baseline that both nodes observed; the token came from the Secret in the namespace."""
    assert course.delegated["phase"] == "Completed", message_of(course.delegated)
    assert course.delegated_windows[0]["purpose"]["kind"] == "baseline"
    (baseline,) = course.delegated_maps
    assert set(baseline["observation"]) == {"node-a", "node-b"}
