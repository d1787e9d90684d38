"""An older release is upgraded in the middle of a window, observed for another and uninstalled; on another kind of
cluster.

No masquerade, and kube-proxy with iptables: what the shared test cluster does not have.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.real_cluster.addressing import ClusterNode, Layout
from lab.real_cluster.cluster import RealCluster, down, up
from lab.real_cluster.installed import install, shop
from lab.real_cluster.installed.compare import differences
from lab.real_cluster.installed.shop_pods import start_shop
from tests.installed import disturbances, machine_state
from tests.installed.cluster_objects import all_objects
from tests.installed.windows import (
    differences_of_partial_window,
    next_full_window,
    next_shop_window,
    wait_for_window_map,
    wait_until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.timeout(900)]

PLAIN = Layout("podsonar-brief-cluster", 214, masquerade=False, proxy_mode="iptables")
STORE, SPOOL = "podsonar-store", "podsonar"
UPGRADE_SECOND = 25


def older_chart(folder: Path) -> Path:
    """A chart of the previous version: its objects carry other version labels, its pods the same images."""
    shutil.copytree(install.CHART, folder)
    file = folder / "Chart.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "version": "0.0.9", "appVersion": "0.0.9"}))
    return folder


def older_values(volume: dict[str, Any]) -> dict[str, Any]:
    """Values of the older release: a manager without a node, so that batches wait; other settings."""
    return {
        "image": {"tag": install.version()},
        "kubernetes": {"labels": {"team": "shop"}},
        "log": {"level": "debug"},
        "manager": {"persistence": volume, "nodeSelector": {"pool": "that-is-gone"}},
        "nodeAgent": {"drainSeconds": 2, "spool": {"kind": "hostPath"}, "updateStrategy": {"maxUnavailable": 2}},
    }


def newer_values(volume: dict[str, Any]) -> dict[str, Any]:
    """Values of the upgrade."""
    return {
        "manager": {"persistence": volume},
        "nodeAgent": {"spool": {"kind": "hostPath"}, "updateStrategy": {"maxUnavailable": 2}},
    }


def traces_on_node(node: ClusterNode) -> set[str]:
    """Names with `podsonar` in the node's own /var/lib and /var/log."""
    return {
        str(path.relative_to(node.folder))
        for place in ("lib", "log")
        for path in (node.folder / place).glob("*")
        if "podsonar" in path.name
    }


@dataclass
class UpgradedRelease:
    """What was observed of the release from installation to removal."""

    cluster: RealCluster
    maps: dict[str, dict[str, Any]]
    before: set[tuple[str, str, str]]
    workloads: tuple[shop.ShopWorkload, ...]
    left: set[tuple[str, str, str]]
    traces: dict[str, set[str]]


def live_through_upgrade(cluster: RealCluster, folder: Path) -> UpgradedRelease:
    """Install the release, upgrade it in a window, observe another one, uninstall it."""
    cluster.apply([yaml.safe_load((install.REPOSITORY / "deploy/manifests/namespace.yaml").read_text())])
    volume = install.local_volume(cluster, cluster.layout.nodes[0], STORE)
    workloads = start_shop(cluster)
    own = ("ConfigMap", install.NAMESPACE, "kube-root-ca.crt")
    cluster.wait("the namespace has what each has", lambda: own in all_objects(cluster))
    before = all_objects(cluster)
    agents = f"daemonset/{install.RELEASE}-node-agent"
    install.install(cluster, older_values(volume), older_chart(folder / "older"), wait=False)
    disturbances.wait_rolled_out(cluster, agents)
    upgraded = next_shop_window(cluster, workloads)
    wait_until(upgraded, UPGRADE_SECOND)
    install.install(cluster, newer_values(volume))
    whole = next_full_window()
    maps = {"whole": wait_for_window_map(cluster, whole), "upgraded": wait_for_window_map(cluster, upgraded)}
    life = UpgradedRelease(cluster, maps, before, workloads, set(), {})
    install.uninstall(cluster)
    life.left = all_objects(cluster)
    life.traces = {node.name: traces_on_node(node) for node in cluster.layout.nodes}
    return life


@pytest.fixture(scope="module")
def machine_before() -> dict[str, Any]:
    """The state of the machine without this cluster."""
    down(PLAIN)
    return machine_state.state(PLAIN)


@pytest.fixture(scope="module")
def plain(machine_before: dict[str, Any]) -> Iterator[RealCluster]:
    """Two nodes without masquerade, with kube-proxy by iptables, and the images on them."""
    cluster = up(PLAIN, lambda _text: None)
    try:
        cluster.load(install.podsonar_images(cluster.report))
        yield cluster
    finally:
        down(PLAIN, cluster)


@pytest.fixture(scope="module")
def life(plain: RealCluster, tmp_path_factory: pytest.TempPathFactory) -> UpgradedRelease:
    """The release's whole life, once."""
    return live_through_upgrade(plain, tmp_path_factory.mktemp("charts"))


def test_upgraded_release_maps_the_next_window_as_the_pods_made_it(life: UpgradedRelease) -> None:
    """Changed values, labels and version meet no immutable field; the next window is the truth (row 46)."""
    assert differences(shop.truth(life.workloads), life.maps["whole"]) == []


def test_upgrade_keeps_the_spool(life: UpgradedRelease) -> None:
    """The older agents' observations, which no manager could accept then, are on the map (row 46)."""
    found = life.maps["upgraded"]
    assert {node_coverage["observed"] for node_coverage in found["coverage"].values()} == {"part"}
    assert differences_of_partial_window(found, life.workloads, UPGRADE_SECOND, PLAIN.outside) == []


def test_without_masquerade_every_backend_is_named_at_both_ends(life: UpgradedRelease) -> None:
    """Each connect of a pod inside the cluster names the pod that accepted it, across nodes too.

    Except pods on their node's network: kube-proxy masquerades their connects to a ClusterIP, and the map marks them.
    """
    found = life.maps["whole"]
    kinds = {item["id"]: item["kind"] for item in found["services"]}
    inside = [edge for edge in found["edges"] if kinds[edge["destination"]] in ("Service", "Workload")]
    for edge in inside:
        named = sum(item["accepted"] for item in edge["backends"])
        assert named == edge["established"] or (edge["source"].endswith("/watcher") and edge["inSums"]), edge
    assert len([edge for edge in inside if len(edge["backends"]) > 1]) >= 2


def test_uninstall_leaves_nothing_in_the_cluster(life: UpgradedRelease) -> None:
    """Every kind of the API server is listed: no role, binding, Secret, claim or other object is left."""
    assert life.left - life.before == set()


def test_uninstall_leaves_the_spool_on_the_nodes_and_nothing_else(life: UpgradedRelease) -> None:
    """Only the folder that nodeAgent.spool.kind=hostPath names, as documented; the volume is the test's own."""
    first, second = (node.name for node in life.cluster.layout.nodes)
    assert life.traces == {first: {f"lib/{SPOOL}", f"lib/{STORE}"}, second: {f"lib/{SPOOL}"}}


def test_cluster_without_masquerade_by_iptables_leaves_nothing(
    plain: RealCluster, life: UpgradedRelease, machine_before: dict[str, Any]
) -> None:
    """After the end of another kind of cluster, which stood beside the first, the machine is as before."""
    assert life.maps
    assert set(machine_state.left_behind(machine_before, machine_state.state(PLAIN))) >= {
        "processes",
        "groups",
        "links",
        "routes",
    }
    down(PLAIN, plain)
    assert machine_state.left_behind(machine_before, machine_state.state(PLAIN)) == {}
    assert not PLAIN.folder.exists()
