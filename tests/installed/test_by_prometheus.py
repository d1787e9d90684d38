"""The release as its Prometheus sees it: every pod scraped, every metric there, every panel with data, no alert."""

import math
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.k8s.kinds import KINDS, WATCHED
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, prometheus, resource_usage
from lab.real_cluster.installed.prometheus import Prometheus
from podsonar.errors import ApiServerError
from podsonar.model import Window
from podsonar.timestamp import NS_PER_SECOND, parse_rfc3339
from tests.installed.windows import WINDOW_SECONDS, ObservedWindow

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

COMPONENTS = ("collector", "manager", "node-agent")
# The sections of docs/metrics.md that a component has.
SECTIONS = {
    "collector": ("Every program", "Delivery (collector and node agent)", "Collector", "Directory"),
    "manager": ("Every program", "Manager"),
    "node-agent": ("Every program", "Node agent", "Delivery (collector and node agent)"),
}
# Declared, but without a sample until the counted event happens: their label is not a short list.
NOT_HAPPENED = {
    "podsonar_collector_redacted_total",
    "podsonar_directory_bookmarks_total",
    "podsonar_directory_unsure_answers_total",
    "podsonar_directory_watches_cut_total",
    "podsonar_directory_watch_lists_total",
    "podsonar_manager_linux_infras",
    "podsonar_manager_linux_requests_total",
    "podsonar_manager_linux_tasks",
    "podsonar_manager_log_requests_total",
}
ATTEMPTS = "podsonar_node_agent_events"
OUTCOMES = (
    f"{ATTEMPTS}_delivered_total",
    f'{ATTEMPTS}_lost_total{{stage=~"flows_full|unreadable|unseen_by_program"}}',
    f"{ATTEMPTS}_filtered_total",
    'podsonar_node_agent_unresolved_total{side="source"}',
    f"{ATTEMPTS}_dropped_total",
    f"{ATTEMPTS}_pending",
)
Object = dict[str, Any]


@pytest.fixture(scope="module")
def watched(watching: Prometheus, observed: ObservedWindow) -> Prometheus:
    """The Prometheus after a full window."""
    assert observed.found["observation"]
    return watching


def released_pods(cluster: RealCluster) -> list[Object]:
    """The running pods of the release."""
    query = {"labelSelector": "app.kubernetes.io/part-of=podsonar", "fieldSelector": "status.phase=Running"}
    found: list[Object] = cluster.get(f"/api/v1/namespaces/{install.NAMESPACE}/pods", **query)["items"]
    return found


def component(labels: Object) -> str:
    """The program of a pod, by the labels of the pod or of its target."""
    found: str = labels.get("app.kubernetes.io/component") or labels["app_kubernetes_io_component"]
    return found


def test_every_pod_of_the_release_is_scraped_and_no_other(installed: RealCluster, watched: Prometheus) -> None:
    """The annotations name each pod's port once, and every target answers."""
    targets = watched.targets()
    expected = [(pod["metadata"]["name"], pod["spec"]["nodeName"]) for pod in released_pods(installed)]
    assert sorted((item["labels"]["pod"], item["labels"]["node"]) for item in targets) == sorted(expected)
    assert {component(item["labels"]) for item in targets} == set(COMPONENTS)
    assert [item["scrapeUrl"] for item in targets if item["health"] != "up" or item["lastError"]] == []
    assert {item["metric"]["pod"] for item in watched.query("up == 1")} == {name for name, _node in expected}


def documented(repository: Path, program: str) -> set[str]:
    """The metrics that docs/metrics.md lists for a program."""
    parts = re.split(r"^#+ (.*)\n", (repository / "docs/metrics.md").read_text(), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    named = re.compile(r"^\| `(podsonar_\w+)`", re.MULTILINE)
    return {name for title in SECTIONS[program] for name in named.findall(sections[title])}


@pytest.mark.parametrize("program", COMPONENTS)
def test_scrape_is_clean_and_has_every_documented_metric(repository: Path, watched: Prometheus, program: str) -> None:
    """For each pod promtool reports nothing, every metric is documented, and only events that have not happened lack
    samples.
    """
    targets = [item for item in watched.targets() if component(item["labels"]) == program]
    assert targets
    for target in targets:
        text = httpx.get(target["scrapeUrl"], timeout=10, trust_env=False).raise_for_status().text
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
        families = [item for item in text_string_to_metric_families(text) if item.name.startswith("podsonar_")]
        names = {f"{item.name}_total" if item.type == "counter" else item.name: bool(item.samples) for item in families}
        assert set(names) == documented(repository, program)
        assert {name for name, has_samples in names.items() if not has_samples} <= NOT_HAPPENED


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression of every query of Prometheus that the dashboard has, in the release's namespace."""
    dashboard = orjson.loads((install.CHART / "dashboards" / "podsonar.json").read_bytes())
    of_prometheus = (one for one in dashboard["panels"] if one.get("datasource", {}).get("type") == "prometheus")
    for panel in of_prometheus:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$namespace", install.NAMESPACE)


def values(prometheus: Prometheus, expr: str) -> list[float]:
    """The current value of an expression, per series."""
    return [float(item["value"][1]) for item in prometheus.query(expr)]


def test_every_query_of_the_dashboard_returns_numbers(installed: RealCluster, watched: Prometheus) -> None:
    """Panels of failures too: they show zero, not "no data". The variable offers the release's namespace."""
    offered = watched.query("group by (namespace) (podsonar_build_info)")
    assert [item["metric"]["namespace"] for item in offered] == [install.NAMESPACE]
    every = dict(panels())
    installed.wait("what was delivered is scraped", lambda: sum(values(watched, every["Delivered"])) > 0, 60)
    found = {title: values(watched, expr) for title, expr in every.items()}
    assert len(found) >= 25
    assert {title: shown for title, shown in found.items() if not shown or not all(map(math.isfinite, shown))} == {}
    assert (found["Nodes that are traced"], found["Nodes that are not"]) == ([2.0], [0.0])


def test_no_alert_is_pending_on_a_healthy_cluster(installed: RealCluster, watched: Prometheus) -> None:
    """Each of the chart's alerts is evaluated without an error, and finds nothing."""
    installed.wait("rules are evaluated", lambda: all(item["health"] != "unknown" for item in watched.rules()))
    rules = watched.rules()
    assert len(rules) == 13
    assert [(item["name"], item["lastError"]) for item in rules if item["health"] != "ok"] == []
    assert watched.alerts() == []


def test_attempts_are_conserved_as_scraped(installed: RealCluster, watched: Prometheus) -> None:
    """On each node every attempt that the kernel saw has exactly one outcome, by the numbers that an operator sees."""
    seen = f"sum by (pod) ({ATTEMPTS}_total)"
    outcomes = " + ".join(f"sum by (pod) ({outcome})" for outcome in OUTCOMES)
    assert all(float(item["value"][1]) > 0 for item in watched.query(seen))

    def conserved() -> bool:  # between two scrapes one outcome may have been counted and the other not
        return [float(item["value"][1]) for item in watched.query(f"{seen} - ({outcomes})")] == [0, 0]

    try:
        installed.wait("every attempt has one fate", conserved, 30)
    except ApiServerError as error:
        values_by_query = {expr: watched.query(expr) for expr in (seen, *OUTCOMES)}
        pytest.fail(f"{error}; {values_by_query}")


def test_nodes_ask_the_api_server_nothing_and_the_collector_lists_once(
    installed: RealCluster, observed: ObservedWindow
) -> None:
    """By its audit log: in the window no request of agents or manager, one list of each kind, few of the directory."""
    start_ns = parse_rfc3339(observed.window)
    requests = resource_usage.api_requests(installed, Window(start_ns, start_ns + WINDOW_SECONDS * NS_PER_SECOND))
    assert resource_usage.requests_of(requests, "node-agent") == resource_usage.requests_of(requests, "manager") == []
    assert [item for item in requests if item.user == resource_usage.ANONYMOUS] == []
    collector = resource_usage.requests_of(requests, "collector")
    (user_agent,) = {item.user_agent for item in collector}
    assert re.fullmatch(r"podsonar/\d\S+ \(collector\)", user_agent)
    made = Counter(item.what for item in collector)
    lists = {what: count for what, count in made.items() if what.startswith("list ")}
    assert lists == {f"list {kind.plural}": 1 for kind in KINDS}
    # The directory requests the server's resource version before it answers, and watches until it has reached it.
    asked = {f"{word} {kind.plural}" for word in ("peek", "watch") for kind in WATCHED}
    assert made.keys() - lists.keys() <= asked
    nodes = len(observed.found["observation"])  # each queries the directory once per window, or twice if it is late
    assert max((made[what] for what in asked), default=0) <= 4 * nodes


def test_cost_of_each_pod_is_that_of_its_cgroup(installed: RealCluster) -> None:
    """Collector, manager and an agent on each node: every pod has used CPU, and less memory than its limit."""
    every = resource_usage.pods(installed)
    assert [item.component for item in every] == ["collector", "manager", "node-agent", "node-agent"]
    for pod in every:
        memory = resource_usage.memory_of(pod.memory)
        assert resource_usage.cpu_seconds_of(pod.cpu) > 0.1
        assert 5 << 20 < memory.anonymous <= memory.working_set < 512 << 20


def selected(selector: Object, labels: Object) -> bool:
    """Return whether labels match a selector of matchLabels alone."""
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def allows(policy: Object, pod: Object, port: int, namespace: Object) -> bool:
    """Return whether a NetworkPolicy that selects the pod allows pods of a namespace with these labels to the port."""
    ports = {item["name"]: item["containerPort"] for item in pod["spec"]["containers"][0]["ports"]}
    for rule in policy["spec"]["ingress"]:
        peers = [item["namespaceSelector"] for item in rule.get("from", ()) if "namespaceSelector" in item]
        near = "from" not in rule or any(selected(item, namespace) for item in peers)
        if near and port in {ports.get(item["port"], item["port"]) for item in rule["ports"]}:
            return True
    return False


def test_network_policies_let_the_named_namespace_scrape(installed: RealCluster, watched: Prometheus) -> None:
    """As stored, for where they are enforced: `networkPolicy.metricsFrom` reaches each target, another does not."""
    policies = installed.get(f"/apis/networking.k8s.io/v1/namespaces/{install.NAMESPACE}/networkpolicies")["items"]
    names = {"monitoring": True, "elsewhere": False}
    labels = {name: {"kubernetes.io/metadata.name": name} for name in names}
    pods = {pod["metadata"]["name"]: pod for pod in released_pods(installed)}
    for target in watched.targets():
        pod = pods[target["labels"]["pod"]]
        chosen = [item for item in policies if selected(item["spec"]["podSelector"], pod["metadata"]["labels"])]
        port = httpx.URL(target["scrapeUrl"]).port
        assert len(chosen) == 1
        assert port is not None
        assert {name: allows(chosen[0], pod, port, labels[name]) for name in names} == names, target["labels"]["pod"]


def test_prometheus_may_find_pods_and_nothing_else(installed: RealCluster) -> None:
    """The rights that an operator grants for the scrape suffice: the account that found the targets reads pods only."""
    account = f"--as=system:serviceaccount:{prometheus.NAMESPACE}:{prometheus.NAME}"
    listed = installed.kubectl("auth", "can-i", "--list", "--no-headers", account)
    rules = [line.split() for line in listed.splitlines() if "[list" in line or "[get" in line]
    assert ["pods", "[]", "[]", "[list", "watch]"] in rules
    assert [words for words in rules if words[0] != "pods" and not words[0].startswith("[")] == []
