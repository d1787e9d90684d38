"""Observations arrive whatever is killed, rolled, rotated or scaled meanwhile, and no edge is ever wrong.

One run of windows back to back, with a disturbance in each; the tests look at the maps of the windows afterwards.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.compare import differences, map_edges
from node_agent.runtime.window_loop import LATE
from podsonar.timestamp import parse_rfc3339
from tests.installed import disturbances
from tests.installed.conftest import STORE
from tests.installed.disturbances import kubectl
from tests.installed.pods import address_reuse, short_lived_pods
from tests.installed.windows import (
    SECOND_NS,
    ObservedWindow,
    differences_of_partial_window,
    known_names,
    next_after,
    next_full_window,
    stored_batches,
    stored_inventories,
    wait_for_window_map,
    wait_until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

AGENTS = f"daemonset/{install.RELEASE}-node-agent"
COLLECTOR = f"deployment/{install.RELEASE}-collector"
ROLL_SECOND, KILL_SECOND = 22, 28
ASK_SECOND = 9  # agents ask about a window from the tenth second after it on
# Kinds whose objects stay from the first window to the last, and where the API server has them.
UNCHANGED_KINDS = {
    "services": "/api/v1",
    "cronjobs": "/apis/batch/v1",
    **dict.fromkeys(("deployments", "statefulsets", "daemonsets"), "/apis/apps/v1"),
}


@dataclass
class Course:
    """Which disturbance happened in which window, and what a step saw that is gone by the time of the tests."""

    cluster: RealCluster
    quiet: str
    truth: list[shop.ShopEdge]
    windows: dict[str, str] = field(default_factory=dict)
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def window(self, name: str, first: str = "") -> str:
        """Wait for the window of a disturbance: the next one, or `first` if its roll is still ahead."""
        early = bool(first) and time.time_ns() < parse_rfc3339(first) + (ROLL_SECOND - 1) * SECOND_NS
        self.windows[name] = first if early else next_full_window()
        wait_until(self.windows[name], 0)
        return self.windows[name]

    def log_text(self, component: str) -> str:
        """The log of the component's pods."""
        return disturbances.log_text(self.cluster, component)

    def on_map(self, window: str) -> bool:
        """Return whether every node's batch of the window is stored."""
        return sum(name == window for name, _node in stored_batches(self.cluster, STORE)) == self.cluster.layout.size

    def has_lost_outside(self, name: str) -> bool:
        """Whether the directory listed pods in a window in which it was forbidden, and the map shows that it had to.

        It has nothing to list but on a machine so slow that its start in the window before was not over.
        """
        listed = name == "token rotated" and self.seen["pods listed"] > 0
        return listed and not any(edge.target == "outside" for edge in map_edges(self.maps[name]).values())

    def edges(self, name: str) -> list[shop.ShopEdge]:
        """The connects of the shop's pods and of the crowd in the window of a disturbance."""
        return [*self.truth, short_lived_pods.counted_edge(self.cluster, self.windows[name], short_lived_pods.CROWD)]


def pod_lists(found: dict[str, float]) -> float:
    """How often a collector's directory has listed pods."""
    return sum(count for name, count in found.items() if name.startswith('podsonar_directory_lists_total{kind="Pod"'))


def roll(course: Course) -> None:
    """Replace both node agents in the middle of a window; the crowd of two runs."""
    cluster = course.cluster
    short_lived_pods.prepare(cluster)
    cluster.apply([short_lived_pods.crowd(2)])
    wait_until(course.window("rolled", next_after(course.quiet)), ROLL_SECOND)
    kubectl(cluster, "rollout", "restart", AGENTS)
    disturbances.wait_rolled_out(cluster, AGENTS)
    course.seen["role"] = disturbances.forbid_cron_jobs(cluster)


def kill_collector(course: Course) -> None:
    """Forbid cron jobs for a while, kill the collector, and let the crowd grow to thirty; then run two collectors."""
    cluster = course.cluster
    window = course.window("collector killed")
    cluster.apply([short_lived_pods.crowd(30)])

    def listed() -> bool:
        found = install.read_agent(cluster) or {}
        course.seen["inventory"] = found.get("inventory") or {}
        return bool(course.seen["inventory"].get("window") == window)

    cluster.wait("the window's inventory arrived", listed, 25)
    course.seen["cron jobs"] = (install.read_agent(cluster, "/cronjobs") or {}).get("items")
    course.seen["runs"] = disturbances.metrics(disturbances.pods(cluster, "collector")[0])
    disturbances.restore(cluster, disturbances.ROLE, course.seen["role"])
    wait_until(window, KILL_SECOND)
    disturbances.wait_replaced(cluster, "collector", disturbances.kill(cluster, "collector"))
    cluster.wait("the crowd has come", lambda: short_lived_pods.running_pods(cluster, short_lived_pods.CROWD) == 30, 60)
    kubectl(cluster, "scale", COLLECTOR, "--replicas=2")
    disturbances.wait_rolled_out(cluster, COLLECTOR)


def kill_manager(course: Course) -> None:
    """Kill two collectors as agents send their requests about the last window.

    The crowd shrinks to two; the manager is killed as the window is reported.
    """
    cluster = course.cluster
    window = course.window("manager killed")

    def listed() -> bool:
        return stored_inventories(cluster, STORE, window) == 2

    cluster.wait("both collectors' inventories arrived", listed, 30)
    course.seen["known"] = {plural: known_names(cluster, plural) for plural in UNCHANGED_KINDS}
    wait_until(window, ASK_SECOND)
    killed = disturbances.kill(cluster, "collector")
    last = course.windows["collector killed"]

    def asked() -> bool:  # in vain, or before the collectors were killed: a slow machine may be late with that
        return "directory_unavailable" in course.log_text("node-agent") or course.on_map(last)

    cluster.wait("the agents have asked", asked, 60)
    disturbances.wait_replaced(cluster, "collector", killed)
    wait_until(window, KILL_SECOND)
    cluster.apply([short_lived_pods.crowd(2)])
    kubectl(cluster, "scale", COLLECTOR, "--replicas=1")
    cluster.wait("the crowd has left", lambda: short_lived_pods.running_pods(cluster, short_lived_pods.CROWD) == 2, 30)
    binding = cluster.get(disturbances.BINDING)
    address_reuse.start_clients(cluster)
    wait_until(window, 58)
    cluster.objects.request("DELETE", disturbances.BINDING)
    wait_until(next_after(window), 11)
    course.seen["killed"] = disturbances.kill(cluster, "manager")
    course.seen["binding"] = binding


def rotate_token(course: Course) -> None:
    """Forbid every list at first; an address changes hands; the token is revoked, and replaced after the window."""
    cluster = course.cluster
    window = next_after(course.windows["manager killed"])
    course.windows["token rotated"] = window
    course.seen["refused lists"] = disturbances.metrics(disturbances.pods(cluster, "collector")[0])
    disturbances.restore(cluster, disturbances.BINDING, course.seen["binding"])
    course.seen["handover"] = address_reuse.hand_over(cluster)
    disturbances.wait_replaced(cluster, "manager", course.seen["killed"])
    wait_for_window_map(cluster, course.windows["manager killed"])
    course.seen["agents"] = {item["metadata"]["uid"] for item in disturbances.pods(cluster, "node-agent")}
    rotation = disturbances.rotate_manager_token(cluster)
    wait_until(next_after(window), 0)
    now = disturbances.metrics(disturbances.pods(cluster, "collector")[0])
    course.seen["pods listed"] = pod_lists(now) - pod_lists(course.seen["refused lists"])
    address_reuse.delete_clients(cluster)
    cluster.wait("pushes are refused", lambda: "push_refused" in course.log_text("node-agent"), 60)
    course.seen["refused"] = stored_batches(cluster, STORE)
    disturbances.update_secret(cluster, rotation)


@pytest.fixture(scope="module")
def course(installed: RealCluster, observed: ObservedWindow) -> Course:
    """All disturbances, and the map of each window."""
    made = Course(installed, observed.window, shop.truth(observed.workloads))
    for step in (roll, kill_collector, kill_manager, rotate_token):
        step(made)
    for name, window in made.windows.items():
        made.maps[name] = wait_for_window_map(installed, window)
    made.seen["stored"] = stored_batches(installed, STORE)
    return made


def without_certain_outside(edges: list[shop.ShopEdge], outside: str) -> list[shop.ShopEdge]:
    """The edges of a window in which the directory had lost its memory: an outside target is shown by address only.

    For all the new directory can know, a pod of the cluster may have had the address meanwhile.
    """
    return [replace(edge, target=outside) if edge.target == "outside" else edge for edge in edges]


def test_agents_rolled_in_a_window_deliver_what_they_saw_and_claim_no_more(course: Course) -> None:
    """Each edge has at least the connects before the roll and at most all of them; both nodes report a missing part."""
    found = course.maps["rolled"]
    workloads = shop.workloads(course.cluster.layout.size)
    outside, crowd = course.cluster.layout.outside, {short_lived_pods.CROWD}
    assert differences_of_partial_window(found, workloads, ROLL_SECOND, outside, except_sources=crowd) == []
    for node_coverage in found["coverage"].values():
        assert (node_coverage["observed"], node_coverage["reason"]) == ("part", "stopped"), found["coverage"]
        began, ended = parse_rfc3339(node_coverage["start"]), parse_rfc3339(node_coverage["end"])
        assert ended - began >= (ROLL_SECOND - 1) * SECOND_NS


@pytest.mark.parametrize("name", ["collector killed", "manager killed", "token rotated"])
def test_map_of_a_disturbed_window_is_what_the_pods_did(course: Course, name: str) -> None:
    """The window after the roll, and those of the others: every edge with its counts, and no other edge."""
    expected = course.edges(name)
    if name in ("collector killed", "manager killed") or course.has_lost_outside(name):
        expected = without_certain_outside(expected, course.cluster.layout.outside)
    assert differences(expected, course.maps[name], address_reuse.COMPARED_ELSEWHERE) == []
    # A busy machine may load a tracer late, before the first connect; a disturbance is no reason for a gap.
    assert {node_coverage["reason"] for node_coverage in course.maps[name]["coverage"].values()} <= {None, LATE}


def test_crowd_was_one_while_the_maps_were_compared(course: Course) -> None:
    """Thirty pods came in one window and left in the next, in the middle of each: more than two ever make."""
    two = 2 * short_lived_pods.EACH
    for name in ("collector killed", "manager killed"):
        assert (
            short_lived_pods.counted_edge(course.cluster, course.windows[name], short_lived_pods.CROWD).attempts > two
        )


def test_batches_are_stored_once_although_the_manager_was_killed(course: Course) -> None:
    """Of every whole window each node has exactly one batch in the database."""
    counts = course.seen["stored"]
    nodes = [node.name for node in course.cluster.layout.nodes]
    windows = [window for name, window in course.windows.items() if name != "rolled"]
    assert {key: counts[key] for key in counts if key[0] in windows} == {
        (window, node): 1 for window in windows for node in nodes
    }


def test_rotated_token_is_used_without_a_restart(course: Course) -> None:
    """Nothing arrives between revocation and the new Secret; then all of it does, from the same pods (row 9)."""
    window = course.windows["token rotated"]
    assert not [key for key in course.seen["refused"] if key[0] == window]
    now = disturbances.pods(course.cluster, "node-agent")
    assert {item["metadata"]["uid"] for item in now} == course.seen["agents"]
    assert not [item for item in now if item["status"]["containerStatuses"][0]["restartCount"]]


def test_row_63_address_that_changed_hands_is_never_the_other_owners(course: Course) -> None:
    """A client that met one owner leads to that one or to the bare address, one that met both to the address alone."""
    handover = course.seen["handover"]
    shown = [edge for edge in map_edges(course.maps["token rotated"]).values() if edge.source in address_reuse.CLIENTS]
    made = {
        name: short_lived_pods.counted_edge(course.cluster, course.windows["token rotated"], name).attempts
        for name in address_reuse.CLIENTS
    }
    assert all(made.values()), made
    for edge in shown:
        assert edge.target in {handover.address, address_reuse.REACHED.get(edge.source, handover.address)}, edge
    totals: Counter[str] = Counter()
    for edge in shown:
        totals[edge.source] += edge.attempts
    assert totals == Counter(made)


def test_backends_of_an_address_that_changed_hands_are_those_that_answered(course: Course) -> None:
    """Where the map names who took a client's connections, it is an owner that the client can have met."""
    found = course.maps["token rotated"]
    names = {place["id"]: place["name"] for place in found["services"]}
    met = {
        name: {address_reuse.REACHED.get(name, owner) for owner in (address_reuse.FORMER, address_reuse.LATTER)}
        for name in address_reuse.CLIENTS
    }
    seen: set[str] = set()
    for edge in found["edges"]:
        source = names[edge["source"]]
        for backend in edge["backends"] if source in met else ():
            assert backend["pod"].partition("/")[2] in met[source], edge
            seen.add(backend["pod"].partition("/")[2])
    assert seen == {address_reuse.FORMER, address_reuse.LATTER}  # by through-near at least, which both of them answered


def test_forbidden_kind_is_reported_and_nothing_of_it_deleted(course: Course) -> None:
    """The run is partial, the kind forbidden, the cron job still there (row 15)."""
    assert course.seen["inventory"]["incompleteKinds"] == {"CronJob": "forbidden"}
    assert [item["name"] for item in course.seen["cron jobs"]] == ["report"]
    assert course.seen["runs"]['podsonar_collector_runs_total{result="partial"}'] == 1
    assert course.seen["runs"]['podsonar_collector_list_total{kind="CronJob",result="error"}'] == 1


def test_two_collectors_delete_nothing(course: Course) -> None:
    """Both list the window after `kubectl scale`: both inventories are stored, each object is known (row 14)."""
    for plural, there in UNCHANGED_KINDS.items():
        found = course.cluster.get(f"{there}/namespaces/{shop.NAMESPACE}/{plural}")["items"]
        assert course.seen["known"][plural] == {item["metadata"]["name"] for item in found}, plural


def test_all_lists_refused_is_an_error_that_ends_with_its_cause(course: Course) -> None:
    """Every list of a window is 403: the run is an error, the collector stays, the next window is listed (row 16)."""
    assert course.seen["refused lists"]['podsonar_collector_runs_total{result="error"}'] == 1
    (pod,) = disturbances.pods(course.cluster, "collector")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
