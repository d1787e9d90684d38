"""An edge that is slow for a window on real nodes: by 200 ms, no other edge, and gone when it is stopped."""

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chaos.control.judge.impact import Impact, impacts_of
from chaos.control.judge.observed_edges import observe
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import shop
from lab.real_cluster.installed.compare import differences
from lab.real_cluster.installed.shop import ShopWorkload
from tests.installed import experiments
from tests.installed.account_api import token
from tests.installed.experiments import NAMESPACE, RELEASE_SECONDS, Object, Operator, Ordered, wait
from tests.installed.pod_processes import NETWORK, NOTHING, Seen, watch
from tests.installed.pods import address_reuse, short_lived_pods
from tests.installed.windows import ObservedWindow, wait_for_whole_map

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

DELAY_MS, AROUND_MS = 200, 5
PROGRAMS = 3  # of a delay
SETTINGS = {
    "DESTINATION_SERVICE": f"{shop.NAMESPACE}/cart",
    "NETWORK_LATENCY": str(DELAY_MS),
    "POD_AFFECTED_PERCENTAGE": "100",
    "TOTAL_CHAOS_DURATION": "300",
}
FRONTENDS = [{"kind": "deployment", "namespace": shop.NAMESPACE, "names": "frontend"}]
EDGE = {"experiment": "edge-latency", "env": [{"name": name, "value": value} for name, value in SETTINGS.items()]}
SLOW: Object = {
    "kind": "KubernetesChaosExperiment",
    "apiVersion": "litmuschaos.io/v1alpha1",
    "metadata": {"name": "slow", "namespace": NAMESPACE},
    "spec": {
        "tasks": [
            {"name": "cart", "definition": {"targets": {"selectors": {"workloads": FRONTENDS}}, "chaos": EDGE}},
        ],
        "steps": [[{"name": "cart", "status": ""}]],
        "cleanupPolicy": "delete",
    },
}
OF_OTHERS = address_reuse.COMPARED_ELSEWHERE | {short_lived_pods.CROWD}  # whose pods may be there yet


@dataclass
class Course:
    """The maps before and in the fault, the nodes before, in and after it, and how the run ended."""

    baseline: dict[str, Any]
    found: dict[str, Any] = field(default_factory=dict)
    before: list[tuple[str, ...]] = field(default_factory=list)
    after: list[tuple[str, ...]] = field(default_factory=list)
    delays: list[dict[str, int]] = field(default_factory=list)
    injectors: tuple[Seen, ...] = ()
    release_seconds: float = 0.0
    run: Object = field(default_factory=dict)

    @property
    def message(self) -> str:
        """What the run says of its step."""
        found: str = self.run["executionData"]["nodes"]["slow-cart"]["message"]
        return found

    def counter(self, name: str) -> float:
        """A counter of both holders together."""
        found = re.search(rf"{name} ([0-9.]+)", self.message)
        assert found is not None, self.message
        return float(found[1])

    def impacts(self) -> list[Impact]:
        """What became of the shop's edges, as `podsonar chaos judge` says it."""
        every = impacts_of(observe([self.baseline]), observe([self.found]))
        return [one for one in every if "/shop/" in one.key.source and "/shop/" in one.key.destination]


def state_of_nodes(cluster: RealCluster) -> list[tuple[str, ...]]:
    """Of each node's network: interfaces and queueing disciplines but those of pods, which come and go; programs."""
    found = []
    for pid, programs in zip(cluster.namespace_pids(), experiments.delays_of_nodes(cluster), strict=True):
        said = [
            subprocess.run(
                ["nsenter", "--net", "--target", str(pid), *words], capture_output=True, text=True, check=True
            )
            for words in (("ip", "-br", "link"), ("tc", "qdisc"))
        ]
        lines = [line for one in said for line in one.stdout.splitlines() if "veth" not in line]
        found.append((*lines, str(programs)))
    return found


def is_held(operator: Operator, run: Ordered) -> bool:
    """Whether both injectors hold a delay; before, they have tried one and taken it away."""
    holders = [any("holder.py" in command for command, _may in watch(pod)) for pod in operator.injectors(run)]
    delays = experiments.delays_of_nodes(operator.cluster)
    return holders == [True, True] and all(sum(found.values()) == PROGRAMS for found in delays)


def take_course(operator: Operator, baseline: dict[str, Any]) -> Course:
    """A window in the fault, and the stop."""
    cluster, course = operator.cluster, Course(baseline)
    course.before = state_of_nodes(cluster)
    run = operator.order("slow", SLOW)
    wait("both frontends are slow", lambda: is_held(operator, run), 90)
    course.delays = experiments.delays_of_nodes(cluster)
    _window, course.found = wait_for_whole_map(cluster)
    course.injectors = tuple(map(watch, operator.injectors(run)))
    begun = time.monotonic()
    operator.stop(run)
    wait("the delay is over", lambda: not any(experiments.delays_of_nodes(cluster)), 30)
    course.release_seconds = time.monotonic() - begun
    course.run = operator.wait_for_end(run, 420)
    wait("runner and injectors are gone", lambda: not operator.pods(), 30)
    course.after = state_of_nodes(cluster)
    return course


@pytest.fixture(scope="module")
def course(
    installed: RealCluster, observed: ObservedWindow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Course]:
    """The edge from the frontends to the cart, slow for a window."""
    try:
        installed.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")  # another's, which may be ending
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        installed.apply([namespace])
        with experiments.forwarded_manager(installed) as url:
            operator = Operator(installed, url, tmp_path_factory.mktemp("operator"), token(installed, "admin"))
            yield take_course(operator, observed.found)
    finally:
        installed.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def test_handshakes_of_the_edge_take_longer_by_the_delay(course: Course) -> None:
    """In the mean by 200 ± 5 ms; the map calls that edge slow, and no other edge of the shop.

    On a busy machine by as much more as the holders say that packets waited for a processor: once due, once before.
    No handshake is shorter than the delay, whatever the machine did before it: that bound has no part of the baseline.
    """
    slow = [one for one in course.impacts() if one.state == "slow"]
    assert [one.key.text for one in slow] == ["shop/frontend -> shop/cart:8080"], course.impacts()
    mean, before = slow[0].fault.handshake_mean, slow[0].baseline.handshake_mean
    assert mean is not None
    assert before is not None
    late = 2 * 1000 * course.counter("lateSeconds") / course.counter("returned")
    assert mean * 1000 >= DELAY_MS - AROUND_MS
    assert (mean - before) * 1000 <= DELAY_MS + AROUND_MS + late, late


def test_no_edge_loses_a_connect(course: Course, workloads: tuple[ShopWorkload, ...]) -> None:
    """Every edge has its prime, the slow one, too."""
    assert differences(shop.truth(workloads), course.found, OF_OTHERS) == []


def test_each_node_has_one_delay_of_three_programs(course: Course) -> None:
    """Two at the TAP, one at the pod's interface; the device is named after that."""
    for found in course.delays:
        (tap,) = (name for name in found if name.startswith("podsonar"))
        (veth,) = (name for name in found if name != tap)
        assert (found[tap], found[veth], veth.startswith("veth")) == (2, 1, True), found


def test_stopped_delay_is_gone_within_its_bound_and_leaves_nothing(course: Course) -> None:
    """The run says that it was stopped and released; interfaces, disciplines and programs of nodes are as before."""
    assert course.release_seconds <= RELEASE_SECONDS
    assert course.run["phase"] == "Stopped", course.run["executionData"]
    said = "stop asked: enough was seen; 2 pods, released by G2; dropped 0, hit "
    assert course.message.startswith(said), course.message
    assert course.counter("returned") > 0
    assert course.after == course.before


def test_injector_of_a_delay_may_what_others_of_networks_may(course: Course) -> None:
    """Two capabilities for who makes it, none for who holds it, by /proc on the nodes."""
    holds = NOTHING._replace(bounding=NETWORK)
    injects = holds._replace(permitted=NETWORK, effective=NETWORK)
    assert len(course.injectors) == 2
    for found in course.injectors:
        assert sorted(("holder.py" in command, may) for command, may in found) == [(False, injects), (True, holds)]
