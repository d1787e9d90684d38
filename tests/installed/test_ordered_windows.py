"""A run with `spec.windows` on real nodes: baseline, fault and recovery windows come on order."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lab.real_cluster.cluster import RealCluster
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.installed import experiments, ordered_release
from tests.installed.experiments import Object, Operator, Ordered
from tests.installed.ordered_release import DIRECTORY, INFRA, NAMESPACE
from tests.installed.test_delegate import WHERE, ApiOfAccount
from tests.installed.windows import REPORT_SECONDS

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

FAULT_SECONDS, WINDOW_SECONDS = 30, 10
WINDOWS: Object = {"seconds": WINDOW_SECONDS, "baseline": 2, "recovery": 3}
KINDS = ["baseline"] * 2 + ["fault"] * 5 + ["recovery"] * 3  # 20 s of the fault's are for preparing it
CUT_SECONDS = 90.0  # until the fault is in: windows ahead, the baseline, injectors
EXPERIMENT: Object = {
    "kind": "KubernetesChaosExperiment",
    "apiVersion": "litmuschaos.io/v1alpha1",
    "metadata": {"name": "ordered", "namespace": NAMESPACE},
    "spec": {
        "tasks": [
            {
                "name": "cut",
                "definition": {
                    "targets": {
                        "selectors": {"workloads": [{"kind": "deployment", "namespace": NAMESPACE, "names": "front"}]}
                    },
                    "chaos": {
                        "experiment": "edge-partition",
                        "env": [
                            {"name": "DESTINATION_SERVICE", "value": f"{NAMESPACE}/near"},
                            {"name": "POD_AFFECTED_PERCENTAGE", "value": "100"},
                            {"name": "TOTAL_CHAOS_DURATION", "value": str(FAULT_SECONDS)},
                        ],
                    },
                },
            }
        ],
        "steps": [[{"name": "cut", "status": ""}]],
        "cleanupPolicy": "delete",
        "windows": WINDOWS,
    },
}


@dataclass
class Course:
    """The windows of the run as the manager lists them, their maps, and when the fault was in on every pod."""

    windows: list[Object] = field(default_factory=list)
    maps: list[Object] = field(default_factory=list)
    cut_ns: int = 0


class Observed:
    """What the manager shows of the agents' windows."""

    def __init__(self, cluster: RealCluster, api: ApiOfAccount) -> None:
        self.cluster, self.api = cluster, api

    def known_windows(self) -> list[Object]:
        """Every window, oldest first."""
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
        return len(self.map(window)["observation"]) == self.cluster.layout.size


def take_course(operator: Operator, observed: Observed, token_file: str) -> Course:
    """Order the run, and wait until its last window has come from both nodes."""
    cluster, made = operator.cluster, Course()
    run = operator.order(INFRA, EXPERIMENT, "--directory", DIRECTORY, "--directory-token-file", token_file)
    front = {pod["metadata"]["uid"] for pod in operator.pods(app="front")}
    cluster.wait("both are cut off", lambda: set(experiments.faults_of_pods(cluster)) == front, CUT_SECONDS)
    made.cut_ns = time.time_ns()
    operator.wait_for_end(run, 240)
    cluster.wait("every window came", lambda: len(observed.windows_of(run)) == len(KINDS), REPORT_SECONDS)
    made.windows = observed.windows_of(run)
    cluster.wait("the last one is whole", lambda: observed.is_whole(made.windows[-1]["id"]), REPORT_SECONDS)
    made.maps = [observed.map(one["id"]) for one in made.windows]
    return made


@pytest.fixture(scope="module")
def course(installed: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Agents that wait for orders, their one window of the schedule, and the run."""
    folder = tmp_path_factory.mktemp("ordered")
    try:
        token_file = ordered_release.start(installed, folder)
        api = ApiOfAccount(installed)
        observed = Observed(installed, api)
        with experiments.forwarded_manager(installed) as url:
            operator = Operator(installed, url, folder, api.client.headers["X-API-Key"], NAMESPACE)
            installed.wait("the schedule's window came", lambda: bool(observed.known_windows()), REPORT_SECONDS)
            (scheduled,) = observed.known_windows()
            installed.wait("it is whole", lambda: observed.is_whole(scheduled["id"]), REPORT_SECONDS)
            yield take_course(operator, observed, str(token_file))
        api.client.close()
    finally:
        ordered_release.end(installed)


def test_windows_come_as_they_were_ordered(course: Course) -> None:
    """Baseline, fault and recovery, back to back, of both nodes, each with its run and kind on its map."""
    assert [one["purpose"]["kind"] for one in course.windows] == KINDS
    starts = [parse_rfc3339(one["id"]) // NS_PER_SECOND for one in course.windows]
    assert starts == list(range(starts[0], starts[0] + WINDOW_SECONDS * len(starts), WINDOW_SECONDS))
    for window, found in zip(course.windows, course.maps, strict=True):
        assert found["window"]["purpose"] == window["purpose"]
        assert set(found["observation"]) == {"node-a", "node-b"}


def test_fault_was_in_behind_the_baseline(course: Course) -> None:
    """And before the first window of the recovery began."""
    begins = {kind: KINDS.index(kind) for kind in ("fault", "recovery")}
    first, behind = (parse_rfc3339(course.windows[place]["id"]) for place in begins.values())
    assert first <= course.cut_ns < behind
