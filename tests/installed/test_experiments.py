"""Experiments on real nodes: the document's own as it is written, and an edge cut for a window, at the same time."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop
from lab.real_cluster.installed.compare import attempts_by_address, differences
from lab.real_cluster.installed.shop import ShopEdge, ShopWorkload
from tests.installed import experiments
from tests.installed.account_api import token
from tests.installed.cluster_objects import all_objects
from tests.installed.experiments import NAMESPACE, RELEASE_SECONDS, Object, Operator, Ordered, wait
from tests.installed.pod_processes import NETWORK, NOTHING, Seen, watch
from tests.installed.pods import address_reuse, short_lived_pods
from tests.installed.windows import lines, wait_for_whole_map

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

DEMO = "demo"  # of the sample's targets
OF_OTHERS = address_reuse.COMPARED_ELSEWHERE | {short_lived_pods.CROWD}  # whose pods may be there yet
FILE = Path(__file__).parents[1] / "chaos" / "control" / "experiments" / "samples" / "experimentrun.json"
SAMPLE: Object = orjson.loads(FILE.read_bytes())["data"]["experimentYaml"]
TARGETS = tuple(ShopWorkload(name, pods=2, listen=(8080,)) for name in ("podtato-hats", "podtato-left-leg"))
SAMPLE_SECONDS = 150
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
BLIND: Object = {  # passes where the runner's files, environment and root are there, and cannot be read
    "name": "blind",
    "type": "cmdProbe",
    "cmdProbe/inputs": {
        "command": f"cat {TOKEN} /proc/$PPID/environ /proc/$PPID/root{TOKEN} 2>&1 | grep -c 'Permission denied$'",
        "comparator": {"type": "int", "criteria": "==", "value": "3"},
    },
    "runProperties": {"probeTimeout": "20s", "probePollingInterval": "5s"},
}
CUT: Object = {
    "kind": "KubernetesChaosExperiment",
    "apiVersion": "litmuschaos.io/v1alpha1",
    "metadata": {"name": "cut", "namespace": NAMESPACE},
    "spec": {
        "probes": [BLIND],
        "tasks": [
            {
                "name": "cart",
                "probeRef": [{"probeID": "blind", "mode": "Continuous"}],
                "definition": {
                    "targets": {
                        "selectors": {
                            "workloads": [{"kind": "deployment", "namespace": shop.NAMESPACE, "names": "frontend"}]
                        }
                    },
                    "chaos": {
                        "experiment": "edge-partition",
                        "env": [
                            {"name": "DESTINATION_SERVICE", "value": f"{shop.NAMESPACE}/cart"},
                            {"name": "POD_AFFECTED_PERCENTAGE", "value": "100"},
                            {"name": "TOTAL_CHAOS_DURATION", "value": "300"},
                        ],
                    },
                },
            }
        ],
        "steps": [[{"name": "cart", "status": ""}]],
        "cleanupPolicy": "delete",
    },
}


@dataclass
class Course:
    """Both runs: how they ended, what their processes were, what the map showed, and what was left."""

    sample: Object = field(default_factory=dict)
    cut: Object = field(default_factory=dict)
    release_seconds: float = 0.0
    runner: Seen = ()
    hogs: Seen = ()
    hog_s_injector: Seen = ()
    injectors: tuple[Seen, ...] = ()
    window: str = ""
    found: dict[str, Any] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)
    again: Object = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)


def start_targets(cluster: RealCluster) -> None:
    """Make the namespaces, and the sample's targets of the shop's own pods."""
    privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
    for name, labels in ((NAMESPACE, privileged), (DEMO, {})):
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
    made = [shop.workload_object(one, cluster.layout.outside, 60) for one in TARGETS]
    cluster.apply(one | {"metadata": one["metadata"] | {"namespace": DEMO}} for one in made)


def run_sample(operator: Operator, run: Ordered, course: Course) -> None:
    """Follow the document's experiment to its end; look at its processes while its hog is in."""
    legs = operator.pods(DEMO, app="podtato-left-leg")
    wait("a hog is in a container", lambda: any(map(watch, legs)), SAMPLE_SECONDS)
    course.hogs = tuple(one for pod in legs for one in watch(pod))
    (injector,) = operator.injectors(run)
    (runner,) = operator.pods(**{"ddcr.app/name": run.name})
    course.hog_s_injector, course.runner = watch(injector), watch(runner)
    course.sample = operator.wait_for_end(run, SAMPLE_SECONDS + 60)


def run_cut(operator: Operator, run: Ordered, course: Course) -> None:
    """Hold the edge cut for a whole window, and stop."""
    cluster = operator.cluster
    frontends = {pod["metadata"]["uid"] for pod in operator.pods(shop.NAMESPACE, app="frontend")}
    wait("both frontends are cut off", lambda: set(experiments.faults_of_pods(cluster)) == frontends, 90)
    course.window, course.found = wait_for_whole_map(cluster)
    course.injectors = tuple(map(watch, operator.injectors(run)))  # long after they gave up what they do not need
    course.made = attempts_by_address(lines(cluster, "frontend"), course.window)
    begun = time.monotonic()
    operator.stop(run)
    wait("the fault is over", lambda: not experiments.faults_of_pods(cluster), 30)
    course.release_seconds = time.monotonic() - begun
    dial = ("/program", "dial", f"cart.{shop.NAMESPACE}.svc:8080", "3")
    said = cluster.kubectl("-n", shop.NAMESPACE, "exec", "deployment/frontend", "-c", "client", "--", *dial)
    course.again = orjson.loads(said)
    course.cut = operator.wait_for_end(run, 300)


def what_is_left(operator: Operator, runs: tuple[Ordered, ...], before: set[tuple[str, str, str]]) -> dict[str, Any]:
    """Of pods, processes, faults and objects, once both runs have ended and their manifests were deleted."""
    cluster = operator.cluster
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    wait("runners and injectors are gone", lambda: not operator.pods(), 30)
    wait("their workloads went after them", lambda: not cluster.get(path)["items"], 30)
    programs = experiments.programs_of_pods(cluster)
    for run in runs:
        cluster.kubectl("delete", "--ignore-not-found", "-f", str(run.manifests))
    return {
        "programs": {one for found in programs.values() for one in found if "runner" in one or "injector" in one},
        "holders": {one for found in programs.values() for one in found if "holder.py" in one},
        "faults": experiments.faults_of_pods(cluster),
        "objects": {one for one in all_objects(cluster) - before if one[1] != DEMO},
    }


def take_course(operator: Operator) -> Course:
    """Both runs side by side, and what is left of them."""
    wait("its targets run", lambda: sum(p["status"]["phase"] == "Running" for p in operator.pods(DEMO)) == 4, 120)
    before, course = all_objects(operator.cluster), Course()
    sample, cut = operator.order("sample", SAMPLE), operator.order("cut", CUT)
    with ThreadPoolExecutor() as pool:
        both = [pool.submit(run_sample, operator, sample, course), pool.submit(run_cut, operator, cut, course)]
    for one in both:
        one.result()
    course.left = what_is_left(operator, (sample, cut), before)
    return course


@pytest.fixture(scope="module")
def course(
    installed: RealCluster, workloads: tuple[ShopWorkload, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Course]:
    """The document's experiment, and meanwhile an edge that is cut for a window."""
    try:
        start_targets(installed)
        with experiments.forwarded_manager(installed) as url:
            operator = Operator(installed, url, tmp_path_factory.mktemp("operator"), token(installed, "admin"))
            yield take_course(operator)
    finally:
        installed.kubectl("delete", "namespace", NAMESPACE, DEMO, "--ignore-not-found", "--wait=false")


def test_document_s_experiment_passes_as_it_is_written(course: Course) -> None:
    """Both steps, with their durations; 150 s after the order at most its runner has ended the run."""
    run = course.sample
    assert (run["phase"], run["resiliencyScore"], run["faultsPassed"]) == ("Completed", 100, 2), run["executionData"]
    steps = {name: node["message"] for name, node in run["executionData"]["nodes"].items() if node["type"] == "K8sTask"}
    assert steps["api-payload-test-pod-delete-wm3"] == "3 pods deleted"
    assert steps["api-payload-test-pod-cpu-hog-pys"].startswith("1 pods, released by G")
    assert int(run["executionData"]["finishedAt"]) - run["createdAt"] / 1000 <= SAMPLE_SECONDS


def test_no_process_of_an_experiment_may_more_than_its_fault_needs(course: Course) -> None:
    """By /proc on the nodes: who runs, stresses or holds has nothing; who makes a network fault two capabilities."""
    assert {may for _command, may in course.runner} == {NOTHING._replace(user="2000")}
    assert [may for _command, may in course.hogs] == [NOTHING]
    assert {may for _command, may in course.hog_s_injector} == {NOTHING}
    holds = NOTHING._replace(bounding=NETWORK)
    injects = holds._replace(permitted=NETWORK, effective=NETWORK)
    assert len(course.injectors) == 2
    for found in course.injectors:
        assert sorted(("holder.py" in command, may) for command, may in found) == [(False, injects), (True, holds)]


def test_command_of_a_probe_reads_no_credential_of_its_runner(course: Course) -> None:
    """As it runs in the runner's pod, round after round, below the runtime's own seccomp profile."""
    found = course.cut["executionData"]["nodes"]["cut-cart"]["chaosData"]
    assert found["probeSuccessPercentage"] == "100", course.cut["executionData"]


def test_cut_edge_alone_is_broken_on_the_map(course: Course, workloads: tuple[ShopWorkload, ...]) -> None:
    """No connect of the frontends to the cart is established, as many as they made failed, every other edge holds."""
    (cart,) = (call for call in workloads[0].calls if call.target == "cart")
    tried = sum(course.made.values()) - sum(
        call.count * workloads[0].pods for call in workloads[0].calls if call is not cart
    )
    broken = ShopEdge("frontend", "cart", cart.port, tried, 0, tried)
    assert tried >= 2
    edges = [broken if (one.source, one.target) == ("frontend", "cart") else one for one in shop.truth(workloads)]
    assert differences(edges, course.found, OF_OTHERS) == []


def test_stopped_fault_is_released_within_its_bound(course: Course) -> None:
    """The run says that it was stopped and released; connects are established again."""
    assert course.release_seconds <= RELEASE_SECONDS
    assert course.cut["phase"] == "Stopped", course.cut["executionData"]
    message = course.cut["executionData"]["nodes"]["cut-cart"]["message"]
    assert message.startswith("stop asked: enough was seen; 2 pods, released by G2"), message
    assert course.again["established"] == 3, course.again


def test_nothing_is_left_of_either(course: Course) -> None:
    """No pod, process, fault on a cgroup, or object beside what the manifests made."""
    assert not any(course.left.values()), course.left
