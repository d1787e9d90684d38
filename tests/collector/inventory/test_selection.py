"""Which objects an inventory takes: pods by their root workload, and those of the namespaces that the settings name."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from podsonar.json_gzip import unpack
from podsonar.settings import CollectorSettings, Data, Kubernetes
from tests.collector.inventory.test_inventory import inventory_from


class ListedCluster:
    """Serves whole lists by path, and counts what was asked; paths that it does not know are refused."""

    def __init__(self, lists: dict[str, list[dict[str, Any]]]) -> None:
        self.lists = lists
        self.asked: list[tuple[str, dict[str, str | int]]] = []

    def page(self, path: str, query: dict[str, str | int]) -> tuple[int, str | None, bytes]:
        """The whole list at a path, or 403."""
        self.asked.append((path, query))
        if path not in self.lists:
            return 403, None, b"{}"
        return 200, None, orjson.dumps({"metadata": {"resourceVersion": "7"}, "items": self.lists[path]})


def owned(name: str, kind: str = "", owner: str = "", namespace: str = "shop") -> dict[str, Any]:
    """An object under a controller; its uid is its name."""
    references = [{"kind": kind, "name": owner, "uid": owner, "controller": True}] if owner else []
    return {"metadata": {"name": name, "uid": name, "namespace": namespace, "ownerReferences": references}}


def names(parts: list[dict[str, Any]], key: str = "podList") -> list[str]:
    """Names of the objects of a list."""
    return [one["metadata"]["name"] for part in parts for one in part[key]]


def test_pods_are_selected_by_their_root_workload(tmp_path: Path) -> None:
    """A pod below a custom resource is no orphan, though that is not listed; one of a job goes with the jobs."""
    source = ListedCluster(
        {
            "/api/v1/pods": [
                owned("of-deployment", "ReplicaSet", "web-1"),
                owned("of-rollout", "ReplicaSet", "canary-1"),
                owned("of-custom", "Kafka", "broker"),
                owned("of-cron", "Job", "nightly-1"),
                owned("alone"),
            ],
            "/apis/apps/v1/replicasets": [
                owned("web-1", "Deployment", "web"),
                owned("canary-1", "Rollout", "canary"),
            ],
            "/apis/apps/v1/deployments": [owned("web")],
            "/apis/batch/v1/jobs": [owned("nightly-1", "CronJob", "nightly")],
            "/apis/batch/v1/cronjobs": [owned("nightly")],
        }
    )
    first = inventory_from(source, CollectorSettings())
    assert names([unpack(one) for one in first.bodies(tmp_path)]) == ["of-deployment", "of-rollout", "of-custom"]
    roots = {pod["metadata"]["name"]: first.owners.root(pod) for pod in source.lists["/api/v1/pods"]}
    assert {name: (root.kind, root.name) for name, root in roots.items() if root} == {
        "of-deployment": ("Deployment", "web"),
        "of-rollout": ("Rollout", "canary"),
        "of-custom": ("Kafka", "broker"),
        "of-cron": ("Job", "nightly-1"),
    }
    everything = CollectorSettings(data=Data(enable_orphaned_pod=True, enable_batch_resources=True))
    second = inventory_from(source, everything)
    assert len(names([unpack(one) for one in second.bodies(tmp_path)])) == 5
    root = second.owners.root(source.lists["/api/v1/pods"][3])
    assert root is not None
    assert (root.kind, root.name) == ("CronJob", "nightly")


def test_owner_cycle_ends() -> None:
    """Two controllers that name each other do not hang the collector."""
    from collector.inventory.owners import Owners

    owners = Owners()
    owners.add("A", owned("a", "B", "b"))
    owners.add("B", owned("b", "A", "a"))
    root = owners.root(owned("pod", "A", "a"))
    assert root is not None
    assert root.uid in {"a", "b"}


def namespaced(*namespaces: str) -> CollectorSettings:
    """Settings of Roles alone."""
    return CollectorSettings(
        kubernetes=Kubernetes(namespaced=True, namespace="" if len(namespaces) > 1 else namespaces[0]),
        data=Data(enable_orphaned_pod=True, observed_namespaces=list(namespaces) if len(namespaces) > 1 else []),
    )


def lists_in(*namespaces: str) -> dict[str, list[dict[str, Any]]]:
    """Every namespaced kind, with one pod a namespace."""
    from collector.k8s.kinds import KINDS

    found: dict[str, list[dict[str, Any]]] = {}
    for namespace in namespaces:
        found |= {kind.path(namespace): [] for kind in KINDS if kind.namespaced}
        found[f"/api/v1/namespaces/{namespace}/pods"] = [owned(f"pod-of-{namespace}", namespace=namespace)]
    return found


@pytest.mark.parametrize("namespaces", [("shop",), ("shop", "bank")])
def test_namespaced_mode_asks_inside_its_namespaces_only(tmp_path: Path, namespaces: tuple[str, ...]) -> None:
    """With Roles alone nothing outside is asked for; nodes and namespaces are named as skipped."""
    source = ListedCluster(lists_in(*namespaces))
    parts = [unpack(one) for one in inventory_from(source, namespaced(*namespaces)).bodies(tmp_path)]
    assert names(parts) == [f"pod-of-{namespace}" for namespace in namespaces]
    assert all("/namespaces/" in path for path, _ in source.asked)
    kinds = parts[0]["inventory"]["kinds"]
    assert kinds["Node"] == kinds["Namespace"] == {"complete": False, "reason": "namespaced"}
    assert kinds["Pod"] == {"complete": True, "count": len(namespaces)}


@pytest.mark.parametrize(("observed", "named"), [([], "podsonar"), (["shop"], "shop"), (["shop", "bank"], "")])
def test_inventory_names_its_namespace_where_it_is_of_one_alone(
    tmp_path: Path, observed: list[str], named: str
) -> None:
    """The manager takes nothing of other namespaces for gone; of several, each one's objects may have gone."""
    kubernetes = Kubernetes(namespaced=True, namespace="podsonar")
    settings = CollectorSettings(kubernetes=kubernetes, data=Data(observed_namespaces=observed))
    source = ListedCluster(lists_in("podsonar", "shop", "bank"))
    parts = [unpack(one) for one in inventory_from(source, settings).bodies(tmp_path)]
    assert [part["namespace"] for part in parts] == [named] * len(parts)


def test_kind_refused_in_one_of_several_namespaces_is_incomplete(tmp_path: Path) -> None:
    """The kind's reason names the namespace; objects of the other one are delivered."""
    source = ListedCluster(lists_in("shop"))
    parts = [unpack(one) for one in inventory_from(source, namespaced("shop", "bank")).bodies(tmp_path)]
    assert names(parts) == ["pod-of-shop"]
    kind = parts[0]["inventory"]["kinds"]["Pod"]
    assert kind == {"complete": False, "count": 1, "reason": "forbidden in bank"}


def test_namespace_selector_is_the_servers_own_and_unknown_namespaces_take_nothing(tmp_path: Path) -> None:
    """Objects of the namespaces that the server gave are taken; without an answer none is, and all say so."""
    settings = CollectorSettings(data=Data(enable_orphaned_pod=True, namespace_selector="team in (shop), !old"))
    pods = [owned("in", namespace="shop"), owned("out", namespace="bank")]
    source = ListedCluster({"/api/v1/namespaces": [owned("shop")], "/api/v1/pods": pods, "/api/v1/nodes": []})
    inventory = inventory_from(source, settings)
    assert names([unpack(one) for one in inventory.bodies(tmp_path)]) == ["in"]
    assert inventory.selection.selected == {"shop"}
    asked = {path: query.get("labelSelector") for path, query in source.asked}
    assert asked["/api/v1/namespaces"] == "team in (shop), !old"
    assert asked["/api/v1/pods"] is None
    del source.lists["/api/v1/namespaces"]
    blind = inventory_from(source, settings)
    assert names([unpack(one) for one in blind.bodies(tmp_path)]) == []
    assert blind.kinds["Pod"] == {"complete": False, "reason": "namespaces unknown"}
    assert blind.kinds["Node"]["complete"]
