"""Guards of a run at a real manager, which judges the windows that agents pushed: refused, it is stored as Blocked."""

import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from click.testing import CliRunner

from chaos.control.experiments.map.plan import plan_task
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.judge.observed_edges import observe
from cli.main import podsonar
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.test_kserver import TENANT as QUERY
from tests.chaos.control.experiments.test_kserver import Run
from tests.chaos.control.judge.windows import BASELINE, window_map
from tests.chaos.observed_shop import DB, TENANT, Counts, ObservedShop
from tests.manager.conftest import CLIENT


def manifest(*tasks: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """An experiment."""
    return {
        "kind": "KubernetesChaosExperiment",
        "metadata": {"name": f"exp-{secrets.token_hex(3)}", "namespace": "shop"},
        "spec": {"tasks": list(tasks), "steps": [[{"name": one["name"]}] for one in tasks], **spec},
    }


def task(fault: str = "pod-delete", names: str = "cart", namespace: str = "shop", **settings: str) -> dict[str, Any]:
    """A task on workloads of the shop."""
    workloads = [{"kind": "deployment", "namespace": namespace, "names": names}]
    env = [{"name": name, "value": value} for name, value in settings.items()]
    definition = {"targets": {"selectors": {"workloads": workloads}}, "chaos": {"experiment": fault, "env": env}}
    return {"name": f"t-{fault}", "definition": definition}


class Site:
    """A manager with an observed shop, and a person who orders runs."""

    def __init__(self, manager: Manager, store: Store) -> None:
        self.manager, self.infra = manager, f"shop-{secrets.token_hex(4)}"
        self.admin = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=TENANT).text()
        self.shop = ObservedShop(manager.url, store, self.infra, time.time_ns() - 4000 * NS_PER_SECOND)

    def observe(self, **edges: Any) -> None:
        """A window of 20 s that ended 20 s ago."""
        self.shop.window(time.time_ns() - 40 * NS_PER_SECOND, 20, **edges)

    def order(self, document: dict[str, Any]) -> httpx.Response:
        """POST /v1/chaos/runs."""
        body = orjson.dumps({"infraID": self.infra, "experiment": document})
        return CLIENT.post(
            f"{self.manager.url}/v1/chaos/runs", params=QUERY, headers={"X-API-Key": self.admin}, content=body
        )


@pytest.fixture
def site(manager: Manager) -> Any:
    """An observed shop of its own."""
    with closing(Store(manager.database)) as store:
        yield Site(manager, store)


DELETE = task(TOTAL_CHAOS_DURATION="30")
REFUSALS: list[Any] = [
    pytest.param(
        {}, DELETE, {"maxExposedServices": 1}, "exposed services: 2 services exposed, at most 1", id="exposed"
    ),
    pytest.param(
        {},
        task(POD_AFFECTED_PERCENTAGE="100"),
        {"maxPodsPercentage": 50},
        "pods hit: 100 % of the pods, at most 50 %",
        id="share",
    ),
    pytest.param(
        {},
        DELETE,
        {"protectedNamespaces": ["shop"]},
        "protected namespaces: namespace shop is protected",
        id="namespace",
    ),
    pytest.param({"lost": 3}, DELETE, {}, "both ends observed: node-b lost 3", id="lost"),
    pytest.param({"nodes": "a"}, DELETE, {}, "both ends observed: node-b not observed", id="agent off"),
    pytest.param(
        {"db": Counts(10, 10)}, DELETE, {}, f"healthy baseline: {DB} 50.0% established: at least 99%", id="ill"
    ),
    pytest.param(
        {}, task(TOTAL_CHAOS_DURATION="90"), {"maxDurationSeconds": 60}, "duration: 90 s, at most 60 s", id="long"
    ),
    pytest.param({}, task("pod-network-latency"), {}, "network fault is narrow: no port or address", id="wide delay"),
    pytest.param({}, task("pod-network-loss"), {}, "network fault is narrow: no port or address is named", id="wide"),
    pytest.param({}, task(names="nobody"), {}, "target: target 'shop/nobody' was not observed", id="target"),
    pytest.param(
        {},
        task("edge-loss", DESTINATION_SERVICE="shop/frontend"),
        {},
        "target: 0 edges, at least 1 observed",
        id="edge",
    ),
]


@pytest.mark.parametrize(("edges", "planned", "guards", "sentence"), REFUSALS)
def test_each_guard_refuses_once_and_nothing_can_run(
    site: Site, edges: dict[str, Any], planned: dict[str, Any], guards: dict[str, Any], sentence: str
) -> None:
    """Guard, value and expectation are named; the run is Blocked, over, and stays so whatever a runner says."""
    site.observe(**edges)
    answer = site.order(manifest(planned, guards=guards))
    assert answer.status_code == 201, answer.text
    (refused,) = answer.json()["refused"]
    assert refused.startswith(sentence)
    run = Run(site.manager.url, answer.json(), site.admin)
    read = run.person("GET", f"/{run.ids['runID']}").json()["data"]
    assert (read["phase"], read["completed"], read["faultsNA"], read["resiliencyScore"]) == ("Blocked", True, 1, 0)
    assert {one["phase"] for one in read["executionData"]["nodes"].values()} == {"Blocked", "Skipped"}
    governance = read["securityGovernance"]
    assert governance["Phase"] == "Failed"
    assert governance["SecurityGovernanceNodeData"]["FailedRules"] == [refused]
    assert refused in read["errorResponse"]


@pytest.mark.parametrize(
    "planned",
    [
        DELETE,
        task("pod-network-loss", DESTINATION_PORTS="5432"),
        task("edge-partition", names="frontend", DESTINATION_SERVICE="shop/cart", DESTINATION_PORTS="7000"),
    ],
    ids=["pods", "network", "edge"],
)
def test_what_every_guard_allows_waits_for_its_runner(site: Site, planned: dict[str, Any]) -> None:
    """The rules that nobody set or read are skipped, none is passed by absence."""
    site.observe()
    answer = site.order(manifest(planned, guards={"maxExposedServices": 2}))
    assert (answer.status_code, "refused" in answer.json()) == (201, False), answer.text
    run = Run(site.manager.url, answer.json(), site.admin).person("GET", f"/{answer.json()['runID']}").json()["data"]
    rules = run["securityGovernance"]["SecurityGovernanceNodeData"]
    assert (run["phase"], run["securityGovernance"]["Phase"], rules["FailedRules"]) == ("Queued", "Passed", [])
    assert len(rules["PassedRules"]) + len(rules["SkippedRules"]) == 9
    assert [one for one in rules["SkippedRules"] if one.startswith("PodDisruptionBudget: the runner reads")]


def test_without_windows_or_an_agent_guards_refuse(site: Site) -> None:
    """What nobody observed is not allowed; without `guards` the document's sentence stands."""
    (refused,) = site.order(manifest(DELETE, guards={})).json()["refused"]
    assert refused.startswith("both ends observed: node-a not observed (no_report)")
    site.infra = "nobody"
    target, observed = site.order(manifest(DELETE, guards={})).json()["refused"]
    assert (target.startswith("target: "), observed.startswith("both ends observed: no window")) == (True, True)
    assert site.order(manifest(DELETE, guards={"allowBlind": True})).json()["refused"] == [target]
    ids = site.order(manifest(DELETE)).json()
    data = Run(site.manager.url, ids, site.admin).person("GET", f"/{ids['runID']}").json()["data"]
    assert data["securityGovernance"]["Message"] == "No rules apply to this experiment run"


def test_wrong_guards_are_no_order(site: Site) -> None:
    """A name that is not known would guard nothing."""
    answer = site.order(manifest(DELETE, guards={"maxExposed": 3}))
    assert answer.status_code == 400
    assert "maxExposed" in answer.json()["message"]


def test_command_exits_with_3_and_writes_no_manifests(site: Site, tmp_path: Path) -> None:
    """A pipeline sees that a guard refused; nobody can start the runner."""
    site.observe(lost=3)
    file, key = tmp_path / "experiment.yaml", tmp_path / "key"
    file.write_text(yaml.safe_dump(manifest(DELETE, guards={})))
    key.write_text(site.admin)
    words = ["chaos", "run", "--manager", site.manager.url, "--key-file", str(key), "--infra", site.infra]
    words += ["--account", "acc", "--organization", "org", "--project", "pro", "--environment", "env"]
    result = CliRunner().invoke(podsonar, [*words, "--manifests", str(tmp_path / "runner.yaml"), str(file)])
    assert result.exit_code == 3, result.output
    assert "guard refuses: both ends observed: node-b lost 3" in result.stderr
    assert not (tmp_path / "runner.yaml").exists()


@pytest.mark.parametrize(
    ("planned", "direct", "percentage"),
    [
        pytest.param(
            task(), {"shop/frontend -> shop/cart:8080", "shop/cart -> shop/db:5432"}, 50, id="one of two pods"
        ),
        pytest.param(
            task(POD_AFFECTED_PERCENTAGE="100"),
            {"shop/frontend -> shop/cart:8080", "shop/cart -> shop/db:5432"},
            100,
            id="all",
        ),
        pytest.param(
            task(TARGET_PODS="a,b"), {"shop/frontend -> shop/cart:8080", "shop/cart -> shop/db:5432"}, 100, id="by name"
        ),
        pytest.param(
            task("edge-loss", "frontend", DESTINATION_SERVICE="shop/cart"),
            {"shop/frontend -> shop/cart:8080"},
            100,
            id="edge",
        ),
        pytest.param(
            task("edge-loss", "frontend", DESTINATION_SERVICE="shop/cart", DESTINATION_PORTS="1"), set(), 100, id="port"
        ),
        pytest.param(
            task("edge-latency", "frontend", DESTINATION_SERVICE="shop/cart", NETWORK_LATENCY="200"),
            {"shop/frontend -> shop/cart:8080"},
            100,
            id="slow edge",
        ),
        pytest.param(
            task(names="cart,catalog"),
            {
                f"shop/{a} -> shop/{b}"
                for a, b in (
                    ("frontend", "cart:8080"),
                    ("cart", "db:5432"),
                    ("frontend", "catalog:8080"),
                    ("catalog", "db:5432"),
                )
            },
            34,
            id="two workloads",
        ),
    ],
)
def test_plan_of_a_task_is_what_its_runner_will_hit(planned: dict[str, Any], direct: set[str], percentage: int) -> None:
    """Settings as the runner reads them: share, names, destination."""
    (read,) = read_manifest(manifest(planned)).spec.tasks
    plan = plan_task(read, observe([window_map(BASELINE)]))
    assert ({key.text for key in plan.prediction.direct}, plan.fault.affected_percentage) == (direct, percentage)
    assert plan.unresolved == ""
