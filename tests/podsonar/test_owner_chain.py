"""The owner chain: one rule for the inventory's selection, the directory and the service map."""

from typing import Any

import pytest

from directory.lookup import Directory
from directory.selection import Selection
from manager.service_map.topology import build_topology
from manager.store.batches.object_summary import summarize_object
from podsonar.directory_answer import Query
from podsonar.owner_chain import (
    Controller,
    ControllerReference,
    api_group,
    controller_reference,
    is_batch,
    reference_of,
    root_controller,
)

WEB = ControllerReference("apps", "ReplicaSet", "web-1", "rs")


def listed(kind: str, uid: str, parent: ControllerReference | None = None, group: str = "apps") -> Controller:
    """A listed controller in the namespace shop."""
    return Controller(group, kind, "shop", uid, uid, parent)


@pytest.mark.parametrize(
    ("version", "kind", "group"),
    [
        ("v1", "Node", ""),
        ("apps/v1", "StatefulSet", "apps"),
        ("apps.kruise.io/v1beta1", "StatefulSet", "apps.kruise.io"),
        ("batch/v1", "Job", "batch"),
        (None, "Job", "batch"),
        ("", "Deployment", "apps"),
        (7, "Pod", ""),
    ],
)
def test_api_group_is_the_version_without_its_number(version: object, kind: str, group: str) -> None:
    """Objects of a list carry no apiVersion: then a built-in kind has its built-in group."""
    assert api_group(version, kind) == group


def test_chain_ends_at_the_last_reference_that_is_not_listed() -> None:
    """A custom resource is the root by the reference to it; a listed controller by its own name."""
    rollout = ControllerReference("argoproj.io", "Rollout", "canary", "ro")
    assert root_controller(WEB, "shop", {}) == Controller("apps", "ReplicaSet", "shop", "web-1", "rs")
    root = root_controller(WEB, "shop", {"rs": listed("ReplicaSet", "rs", rollout)})
    assert root == Controller("argoproj.io", "Rollout", "shop", "canary", "ro")
    assert root_controller(None, "shop", {}) is None


def test_cycle_and_endless_chain_end() -> None:
    """Owner references are written by anybody."""
    back = ControllerReference("apps", "Deployment", "a", "a")
    assert root_controller(WEB, "shop", {"rs": listed("ReplicaSet", "rs", back), "a": listed("Deployment", "a", WEB)})
    chain = {
        f"c{number}": listed("X", f"c{number}", ControllerReference("", "X", "", f"c{number + 1}"))
        for number in range(1000)
    }
    root = root_controller(ControllerReference("", "X", "", "c0"), "shop", chain)
    assert root is not None
    assert root.uid == "c7"


@pytest.mark.parametrize(
    "references",
    [
        None,
        "text",
        [None],
        ["text"],
        [{"controller": True}],
        [{"controller": True, "kind": "ReplicaSet", "name": "web"}],
        [{"controller": True, "kind": ["ReplicaSet"], "name": "web", "uid": "u"}],
        [{"controller": "yes", "kind": "ReplicaSet", "name": "web", "uid": "u"}],
    ],
)
def test_reference_of_another_shape_is_none(references: object) -> None:
    """A controller without a UID, or of a wrong type, controls nothing."""
    assert controller_reference({"metadata": {"ownerReferences": references}}) is None
    assert controller_reference({"metadata": references}) is None


def test_custom_kind_job_is_no_batch() -> None:
    """A custom resource may be called Job and be a server; only Kubernetes' own jobs are batch."""
    owner: dict[str, Any] = {"apiVersion": "serving.example.io/v1", "kind": "Job", "name": "server", "uid": "cr"}
    reference = reference_of(owner)
    assert reference is not None
    for version, batch, excluded in (("serving.example.io/v1", False, None), ("batch/v1", True, "batch_pod")):
        owner |= {"apiVersion": version, "controller": True}
        obj = {"metadata": {"name": "p", "namespace": "shop", "uid": "p", "ownerReferences": [owner]}}
        root = root_controller(controller_reference(obj), "shop", {})
        assert root is not None
        assert is_batch(root) == batch
        directory = Directory(Selection())
        directory.apply("Pod", obj, 0)
        assert directory.answer(Query(pod_uid="p")).excluded == excluded


def test_workloads_of_two_api_groups_and_static_pods_of_a_node_differ() -> None:
    """Kind, namespace and name do not identify a workload; a node is the workload of no pod."""

    def pod(pod_uid: str, **owner: str) -> dict[str, Any]:
        references = [{"controller": True, **owner}]
        meta = {"name": pod_uid, "namespace": "kube-system", "uid": pod_uid, "ownerReferences": references}
        return summarize_object("Pod", {"metadata": meta})

    sets = [
        pod("web-0", apiVersion="apps/v1", kind="StatefulSet", name="web", uid="s1"),
        pod("web-1", apiVersion="apps.kruise.io/v1beta1", kind="StatefulSet", name="web", uid="s2"),
    ]
    mirrors = [pod(name, apiVersion="v1", kind="Node", name="cp-1", uid="node") for name in ("etcd", "scheduler")]
    found = build_topology({"Pod": [*sets, *mirrors]}).workload_of
    assert {found["web-0"].group, found["web-1"].group} == {"apps", "apps.kruise.io"}
    assert {(found[uid].kind, found[uid].name) for uid in ("etcd", "scheduler")} == {
        ("Pod", "etcd"),
        ("Pod", "scheduler"),
    }
