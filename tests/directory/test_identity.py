"""Who a pod is comes from its UID in the API, never from what a tenant writes, and never from a name that is shared."""

from typing import Any

import pytest

from directory.lookup import Directory
from podsonar.directory_answer import Query
from tests.directory.test_lookup import at, pod

HASH = "0123456789abcdef0123456789abcdef"
VICTIM = "11111111-2222-3333-4444-555555555555"


def marked(uid: str, node: str, config_hash: Any, *, mirror: bool = True, owner: str | None = None) -> dict[str, Any]:
    """A pod on a node with the annotations of a mirror pod, and the node as its controller."""
    notes = {"kubernetes.io/config.hash": config_hash} | (
        {"kubernetes.io/config.mirror": config_hash} if mirror else {}
    )
    obj = pod(uid, "192.168.0.1", 1, hostNetwork=True, nodeName=node, annotations=notes)
    if owner:
        reference = {"apiVersion": "v1", "kind": "Node", "name": owner, "uid": f"n-{owner}", "controller": True}
        obj["metadata"]["ownerReferences"] = [reference]
    return obj


def who(directory: Directory, uid: str, node: str | None = None) -> str | None:
    """The UID that the API has for a kernel's."""
    return directory.answer(Query(pod_uid=uid, node=node)).uid


@pytest.mark.parametrize("node", ["node-a", "node-b"])
@pytest.mark.parametrize("owner", [None, "node-a", "node-b"])
def test_annotation_of_another_pod_never_beats_a_uid(node: str, owner: str | None) -> None:
    """Whatever a decoy writes, on whichever node: the victim's UID is the victim."""
    directory = Directory()
    directory.apply("Pod", pod(VICTIM, "10.244.0.5", 1, nodeName="node-a"), at(1))
    directory.apply("Pod", marked("decoy", node, VICTIM, owner=owner), at(2))
    assert [who(directory, VICTIM, asked) for asked in (None, "node-a", "node-b")] == [VICTIM] * 3
    directory.delete("Pod", VICTIM, at(3))
    assert who(directory, VICTIM, "node-a") == VICTIM


def test_static_pods_of_several_nodes_that_share_a_uid_are_told_apart() -> None:
    """A kubelet's UID of a static pod is the hash of its manifest: the same on every node that has the same one."""
    directory = Directory()
    for number in (1, 2, 3):
        directory.apply("Pod", marked(f"api-{number}", f"node-{number}", HASH, owner=f"node-{number}"), at(1))
    assert [who(directory, HASH, f"node-{number}") for number in (1, 2, 3)] == ["api-1", "api-2", "api-3"]
    assert who(directory, HASH, "node-4") is None
    assert directory.answer(Query(pod_uid=HASH)).reason == "several_owners"


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        (marked("m", "n1", HASH), "m"),
        (marked("m", "n1", HASH, owner="n1"), "m"),
        (marked("m", "n1", HASH, mirror=False, owner="n1"), None),  # an owner that anybody may write
        ({**marked("m", "n1", HASH, owner="n1"), "status": {"phase": "Pending"}}, None),  # no kubelet has taken it
        (marked("m", "n1", VICTIM, owner="n1"), None),  # the form of the API's own UIDs
        (marked("m", "n1", VICTIM.upper()), None),
        (marked("m", "n1", HASH, mirror=False), None),  # an annotation that anybody may write
        (marked("m", "n1", HASH, mirror=False, owner="n2"), None),  # of another node
        (marked("m", "", HASH), None),
        (marked("m", "n1", ["x"]), None),
        (marked("m", "n1", {"a": 1}), None),
        (marked("m", "n1", ""), None),
        ({**marked("m", "n1", HASH), "spec": None}, None),
        ({**marked("m", "n1", HASH), "spec": {"nodeName": ["n1"]}}, None),
    ],
)
def test_alias_counts_for_mirror_pods_of_a_node_alone(obj: dict[str, Any], found: str | None) -> None:
    """A mirror pod names its node and is marked as one."""
    directory = Directory()
    directory.apply("Pod", obj, at(1))
    assert who(directory, HASH, "n1") == found
    assert who(directory, VICTIM, "n1") is None


def test_two_living_pods_that_claim_one_static_pod_are_nobody() -> None:
    """A forged mirror pod can hide a static pod, and never take its connections."""
    directory = Directory()
    directory.apply("Pod", marked("real", "n1", HASH, owner="n1"), at(1))
    directory.apply("Pod", marked("forged", "n1", HASH, owner="n1"), at(2))
    assert directory.answer(Query(pod_uid=HASH, node="n1")).reason == "several_owners"
    directory.delete("Pod", "forged", at(3))
    assert who(directory, HASH, "n1") == "real"


def test_mirror_pod_that_comes_again_is_the_new_one() -> None:
    """A mirror pod that is deleted is made again by its kubelet, under a new UID; the old one goes with the past."""
    directory = Directory()
    directory.apply("Pod", marked("first", "n1", HASH, owner="n1"), at(1))
    directory.delete("Pod", "first", at(2))
    assert who(directory, HASH, "n1") == "first"
    directory.apply("Pod", marked("second", "n1", HASH, owner="n1"), at(3))
    assert who(directory, HASH, "n1") == "second"
    directory.expire(at(10))
    directory.delete("Pod", "second", at(11))
    directory.expire(at(20))
    assert directory.static_pods.claims == {}


@pytest.mark.parametrize(
    ("version", "kind", "excluded"),
    [
        ("batch/v1", "Job", "batch_pod"),
        ("batch/v1beta1", "CronJob", "batch_pod"),
        ("serving.example.io/v1", "Job", None),
        ("batch.volcano.sh/v1alpha1", "Job", None),
        ("apps.openshift.io/v1", "DeploymentConfig", None),
    ],
)
def test_group_is_part_of_a_workloads_identity(version: str, kind: str, excluded: str | None) -> None:
    """Kubernetes' own jobs are batch, a custom resource of that kind may be a server; the answer names the group."""
    directory = Directory()
    owner = {"apiVersion": version, "kind": kind, "name": "server", "uid": "cr", "controller": True}
    obj = pod("p", "10.244.0.5", 1)
    obj["metadata"]["ownerReferences"] = [owner]
    directory.apply("Pod", obj, at(1))
    found = directory.answer(Query(pod_uid="p"))
    assert found.excluded == excluded
    assert found.workload is not None
    assert found.workload["group"] == version.rpartition("/")[0]


def test_static_pods_of_a_node_share_no_workload() -> None:
    """A node is the controller of every mirror pod on it, and the workload of none."""
    directory = Directory()
    directory.apply("Pod", marked("etcd", "n1", HASH, owner="n1"), at(1))
    found = directory.answer(Query(pod_uid="etcd"))
    assert (found.workload, found.excluded) == (None, None)
