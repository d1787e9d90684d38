"""Agents that a delegate installs on real nodes: they observe what the pods did, and what goes leaves nothing."""

import time
from collections.abc import Iterator

import pytest

from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.compare import differences
from podsonar.model import Window
from podsonar.timestamp import parse_rfc3339
from tests.installed.account_api import WHERE, ApiOfAccount, token
from tests.installed.cluster_objects import all_objects
from tests.installed.windows import next_full_window

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

NAMESPACE = "hce"
CONFIG = {
    "data": {
        "enableNodeAgent": True,
        "enableBatchResources": True,
        "enableOrphanedPod": True,
        "collectionWindowInMin": 1,
        "cron": {"expression": "* * * * *"},
    },
    "kubernetes": {"namespace": NAMESPACE, "runAsUser": 2000, "runAsGroup": 2000, "imagePullPolicy": "Never"},
    "mtls": {},
    "proxy": {},
    "skipSecureVerify": False,
}


@pytest.fixture(scope="module")
def account(installed: RealCluster, workloads: tuple[shop.ShopWorkload, ...]) -> Iterator[ApiOfAccount]:
    """An account with a delegate in a namespace of its own, installed by the chart beside the shared release."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    installed.apply([{**namespace, "metadata": {**namespace["metadata"], "labels": labels}}])
    api = ApiOfAccount(installed)
    values = {
        "collector.enabled": "false",
        "manager.install": "false",
        "manager.url": f"http://{install.RELEASE}-manager.{install.NAMESPACE}.svc:8080",
        "delegate.enabled": "true",
        "delegate.token": token(installed, "delegate"),
        "kubernetes.imagePullPolicy": "Never",
        "data.enableBatchResources": "true",  # the roles that the delegate compares have what its agents need
    }
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    install.helm(
        installed,
        "install",
        "delegate",
        str(install.CHART),
        "--namespace",
        NAMESPACE,
        *sets,
        "--wait",
        "--timeout=120s",
    )
    with api.client:
        yield api
    install.helm(installed, "uninstall", "delegate", "--namespace", NAMESPACE, "--wait")
    installed.kubectl("delete", "namespace", NAMESPACE, "--wait=true")


def wait_for_objects(cluster: RealCluster, expected: set[tuple[str, str, str]], seconds: float) -> None:
    """Return once the cluster has these objects again."""
    deadline = time.monotonic() + seconds
    while (found := all_objects(cluster)) != expected:
        assert time.monotonic() < deadline, (sorted(found - expected), sorted(expected - found))
        time.sleep(1)


def test_agent_of_the_api_observes_what_the_pods_did(
    installed: RealCluster, workloads: tuple[shop.ShopWorkload, ...], account: ApiOfAccount
) -> None:
    """PENDING → RUNNING → SUCCESS; each edge of its first full window as the truth, and no other; the log tells it."""
    before = all_objects(installed)
    made = account.create("permanent", permanent=True, config=CONFIG)["installationDetails"]
    assert (made["delegateTaskStatus"], made["agentDetails"]) == ("PROCESSED", {"status": "PENDING"})
    running = account.wait("permanent", made["id"], "RUNNING", 180)
    assert running["delegateTaskStatus"] == "SUCCESS"
    nodes = {node.name for node in installed.layout.nodes}
    assert {pod["node"] for pod in running["agentDetails"]["node"]} == nodes
    window = next_full_window()
    found = account.map("permanent", window, nodes)
    assert differences(shop.truth(workloads), found) == []
    done = account.wait("permanent", made["id"], "SUCCESS", 180)  # a window later if a tracer was late
    lines = account.log(done)
    for step in (
        "waiting for a delegate",
        "applied; waiting for workloads",
        "SUCCESS",
        "every node has observed a whole window",
    ):
        assert step in lines, lines
    assert any(line.startswith("DaemonSet hce/podsonar-node-agent: created") for line in lines)
    account.client.delete("/agents/permanent", params=WHERE).raise_for_status()
    wait_for_objects(installed, before, 120)


def test_transient_agent_leaves_the_cluster_as_it_was(installed: RealCluster, account: ApiOfAccount) -> None:
    """There for one window, and gone when its batches are in; nobody asks for it."""
    before = all_objects(installed)
    config = {**CONFIG, "data": {**CONFIG["data"], "cron": {"expression": "0 0 1 1 *"}}}
    made = account.create("transient", permanent=False, config=config)["installationDetails"]
    account.wait("transient", made["id"], "RUNNING", 180)
    assert len(all_objects(installed)) > len(before)
    done = account.wait("transient", made["id"], "SUCCESS", 360)
    assert done["stopped"] is False
    wait_for_objects(installed, before, 120)
    windows = account.client.get("/agents/transient/map", params=WHERE).json()["windows"]
    assert windows
    assert all(Window(parse_rfc3339(one), 0).id == one for one in windows)
