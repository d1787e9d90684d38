"""The directory of two namespaces against a real API server that lets its account into these, and nowhere else."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_api.client import ApiClient
from collector.app import inventory_of, window_now
from collector.directory.live_directory import LiveDirectory
from collector.inventory.inventory import role_namespaces
from directory.lookup import Directory
from directory.selection import Selection
from lab.controlplane.binaries import VERSIONS, find_or_build
from lab.controlplane.server import ControlPlane
from podsonar.directory_answer import Query
from podsonar.settings import CollectorSettings
from podsonar.settings_sources import load
from tests.cluster.rights import wait_until_listed
from tests.cluster.test_directory import SECOND, known, names, pod, until
from tests.deploy.conftest import Chart, only

pytestmark = pytest.mark.cluster

NODE_ADDRESS = "203.0.113.20"
FRONT, LEDGER, HIDDEN = "10.244.8.1", "10.244.8.2", "10.244.8.3"


def inside(namespace: str, name: str, address: str, began_ns: int) -> dict[str, Any]:
    """A running pod in a namespace."""
    return {**pod(name, address, began_ns), "metadata": {"name": name, "namespace": namespace}}


@dataclass(frozen=True, slots=True)
class Allowed:
    """The chart's collector as an API server sees it: its settings and its account, with no rights but the chart's."""

    plane: ControlPlane
    settings: CollectorSettings
    kubeconfig: Path

    @property
    def api(self) -> ApiClient:
        """The API server as the collector sees it."""
        return ApiClient.connect(self.kubeconfig)


@pytest.fixture(scope="module", params=VERSIONS)
def allowed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path
) -> Iterator[Allowed]:
    """What the chart renders for `shop` and `bank`, and a pod in each of them, in a third namespace, and a node."""
    chart = Chart(find_or_build(("helm",))["helm"], repository / "deploy/charts/podsonar")
    rendered = chart.template("-f", str(chart.folder / "ci/namespaced-values.yaml"))
    account = only(rendered, "ServiceAccount", "-collector")
    config = tmp_path_factory.mktemp("settings") / "config.yaml"
    config.write_text(only(rendered, "ConfigMap", "-collector")["data"]["config.yaml"])
    began_ns = time.time_ns() - 60 * SECOND
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}
    with ControlPlane(tmp_path_factory.mktemp("controlplane"), version=request.param) as plane:
        namespaces = ("observe", "shop", "bank", "hidden")
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces])
        plane.apply([account, *(one for one in rendered if one["kind"] in ("Role", "RoleBinding"))])
        plane.apply(
            [
                {**node, "status": {"addresses": [{"type": "ExternalIP", "address": NODE_ADDRESS}]}},
                inside("shop", "front", FRONT, began_ns),
                inside("bank", "ledger", LEDGER, began_ns),
                inside("hidden", "hidden", HIDDEN, began_ns),
            ]
        )
        meta = account["metadata"]
        kubeconfig = plane.kubeconfig_for(meta["namespace"], meta["name"])
        for namespace in ("shop", "bank"):
            wait_until_listed(ApiClient.connect(kubeconfig), f"/api/v1/namespaces/{namespace}/pods")
        yield Allowed(plane, load(CollectorSettings, config, {}, {}), kubeconfig)


@pytest.fixture
def live(allowed: Allowed) -> Iterator[LiveDirectory]:
    """A directory of the namespaces in the settings, synced."""
    kept = LiveDirectory(allowed.api, Directory(Selection(orphaned=True)), role_namespaces(allowed.settings), 60.0)
    kept.start()
    try:
        until(lambda: kept.synced)
        yield kept
    finally:
        kept.close()


def test_roles_of_two_namespaces_are_enough_for_the_directory(allowed: Allowed, live: LiveDirectory) -> None:
    """All six followers list and go on, none is refused; pods of both are named, and nobody else is guessed."""
    everywhere = ("/api/v1/pods", "/api/v1/nodes", "/api/v1/namespaces/hidden/pods")
    assert [allowed.api.page(path, {"limit": 1})[0] for path in everywhere] == [403, 403, 403]
    known(live)
    assert len(live.whole) == len(live.reflectors) == 6
    assert (live.refusals, live.failures, live.skipped) == ({}, {}, {"Node": "namespaced"})
    now_ns = time.time_ns()
    assert [names(live, address, now_ns) for address in (FRONT, LEDGER, HIDDEN)] == [["front"], ["ledger"], [None]]
    later_ns = now_ns + 10 * SECOND  # after the first lists, before which nobody looked
    answers = live.answers([Query(address, 443, later_ns, later_ns) for address in (NODE_ADDRESS, HIDDEN)])
    assert [(one.kind, one.reason) for one in answers] == [("Unknown", "namespaced")] * 2


def test_change_in_one_namespace_is_seen_and_leaves_the_other_unchanged(allowed: Allowed, live: LiveDirectory) -> None:
    """A pod that comes and goes in one namespace has its times; the pod of the other stays as it was."""
    now_ns = time.time_ns()
    before = live.explained([Query(FRONT)])
    comes = inside("bank", "comes", "10.244.8.9", now_ns - 30 * SECOND)
    allowed.plane.apply([comes])
    known(live)
    assert names(live, "10.244.8.9", time.time_ns()) == ["comes"]
    allowed.plane.delete(comes)
    known(live)
    ended = live.explained([Query("10.244.8.9")])[0]
    assert [(one["name"], one["maybeTo"] is not None) for one in ended] == [("comes", True)]
    assert live.explained([Query(FRONT)]) == before


def test_inventory_and_directory_see_the_same_namespaces(allowed: Allowed, tmp_path: Path) -> None:
    """The chart's Roles list every kind of the inventory; those in no namespace say why they are missing."""
    inventory = inventory_of(allowed.api, allowed.settings, window_now(allowed.settings), Selection(orphaned=True))
    list(inventory.bodies(tmp_path))
    reasons = {name: kind["reason"] for name, kind in inventory.kinds.items() if not kind["complete"]}
    assert reasons == {"Namespace": "namespaced", "Node": "namespaced"}
    assert inventory.kinds["Pod"]["count"] == 2


def test_role_that_is_missing_in_one_namespace_costs_that_namespace_alone(allowed: Allowed) -> None:
    """The other is followed all the same; what is refused is named by kind and namespace."""
    kept = LiveDirectory(allowed.api, Directory(Selection(orphaned=True)), ["shop", "hidden"], 60.0)
    kept.start()
    try:
        until(lambda: kept.synced)
        known(kept)
        refused = {"Service in hidden", "Pod in hidden", "EndpointSlice in hidden"}
        assert kept.refusals == dict.fromkeys(refused, "forbidden")
        assert "403" in kept.failures["Pod in hidden"]
        assert names(kept, FRONT, time.time_ns()) == ["front"]
    finally:
        kept.close()
