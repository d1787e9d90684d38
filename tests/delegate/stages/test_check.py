"""What a manager in the wrong hands could ask for, and each reason why it is not applied."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from delegate.stages.check import check
from manager.installations.agent_manifests import Object
from manager.installations.agent_values import Source
from manager.installations.handout import agent_manifests
from podsonar.settings import DelegateRules
from tests.manager.installations.seed_agent import SEED
from tests.manager.installations.test_agent_manifests import kubernetes

RULES = DelegateRules(name="d", namespaces=["hce"], image_prefixes=["localhost/podsonar-"])
TOKEN = "podsonar_0123456789ab_" + "A" * 43
AGENT = agent_manifests(SEED, Source("https://m.example"), TOKEN, permanent=True)

DS = "DaemonSet"
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
URLS = {"nonResourceURLs": ["/x"], "verbs": ["get"]}
COMMAND = {"exec": {"command": ["sh"]}}

Change = Callable[[dict[str, Object]], object]


def pod(objects: dict[str, Object], kind: str = "Deployment") -> dict[str, Any]:
    """The pod of a workload."""
    found: dict[str, Any] = objects[kind]["spec"]["template"]["spec"]
    return found


def container(objects: dict[str, Object], kind: str = "Deployment") -> dict[str, Any]:
    """The one container of a workload."""
    found: dict[str, Any] = pod(objects, kind)["containers"][0]
    return found


def security(objects: dict[str, Object], kind: str = "Deployment") -> dict[str, Any]:
    """The security context of a workload's container."""
    found: dict[str, Any] = container(objects, kind)["securityContext"]
    return found


def renamed(kind: str, **metadata: str) -> Change:
    """A change of an object's metadata."""
    return lambda objects: objects[kind]["metadata"].update(metadata)


# What is changed in an agent's list, and a part of the reason.
REFUSED: dict[str, tuple[Change, str]] = {
    "privileged container": (lambda o: security(o).update(privileged=True), "privileged"),
    "privileged node agent": (
        lambda o: security(o, DS).update(privileged=True),
        "privileged",
    ),
    "escalation": (
        lambda o: security(o).pop("allowPrivilegeEscalation"),
        "allowPrivilegeEscalation",
    ),
    "a capability": (lambda o: security(o)["capabilities"].update(add=["BPF"]), "capability 'BPF'"),
    "one more capability": (
        lambda o: security(o, DS)["capabilities"]["add"].append("SYS_ADMIN"),
        "capability 'SYS_ADMIN'",
    ),
    "capabilities kept": (lambda o: security(o)["capabilities"].pop("drop"), "drop: [ALL]"),
    "uid 0": (lambda o: pod(o)["securityContext"].update(runAsNonRoot=False), "runAsNonRoot"),
    "host network": (lambda o: pod(o, DS).update(hostNetwork=True), "hostNetwork"),
    "host processes": (lambda o: pod(o).update(hostPID=True), "hostPID"),
    "host ipc": (lambda o: pod(o, DS).update(hostIPC=True), "hostIPC"),
    "host path": (
        lambda o: pod(o, DS)["volumes"].append({"name": "root", "hostPath": {"path": "/"}}),
        "volume of type hostPath",
    ),
    "other volume": (lambda o: pod(o)["volumes"].append({"name": "n", "nfs": {"server": "x"}}), "volume of type nfs"),
    "somebody's Secret": (
        lambda o: pod(o)["volumes"].append({"name": "s", "secret": {"secretName": "database"}}),
        "Secret 'database'",
    ),
    "somebody's Secret in a variable": (
        lambda o: container(o).update(
            env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}]
        ),
        "Secret 'database'",
    ),
    "other image": (lambda o: container(o).update(image="docker.io/miner:1"), "image 'docker.io/miner:1'"),
    "image whose name only contains ours": (
        lambda o: container(o).update(image="evil.example/localhost/podsonar-collector:1"),
        "image 'evil.example",
    ),
    "no image": (lambda o: container(o).pop("image"), "image None"),
    "command": (lambda o: container(o).update(command=["sh"]), "container field 'command'"),
    "lifecycle hook": (lambda o: container(o).update(lifecycle={}), "container field 'lifecycle'"),
    "exec probe": (
        lambda o: container(o).update(livenessProbe=COMMAND),
        "livenessProbe with exec",
    ),
    "host port": (lambda o: container(o)["ports"][0].update(hostPort=80), "host port 80"),
    "init container": (lambda o: pod(o).update(initContainers=[]), "pod field 'initContainers'"),
    "runtime class": (lambda o: pod(o).update(runtimeClassName="x"), "pod field 'runtimeClassName'"),
    "unconfined": (
        lambda o: security(o).update(seccompProfile={"type": "Unconfined"}),
        "seccomp profile 'Unconfined'",
    ),
    "no container": (lambda o: pod(o).update(containers=[]), "no container"),
    "somebody's account": (
        lambda o: pod(o).update(serviceAccountName="cluster-admin"),
        "service account 'cluster-admin'",
    ),
    "the default account": (lambda o: pod(o).pop("serviceAccountName"), "service account 'default'"),
    "other namespace": (
        renamed("ConfigMap", namespace="kube-system"),
        "namespace 'kube-system'",
    ),
    "no namespace": (lambda o: o["ConfigMap"]["metadata"].pop("namespace"), "namespace ''"),
    "other namespace made": (
        renamed("Namespace", name="kube-system"),
        "namespace 'kube-system'",
    ),
    "somebody's name": (renamed("ConfigMap", name="coredns"), "name 'coredns'"),
    "the cluster's role": (renamed("ClusterRole", name="cluster-admin"), "name 'cluster-admin'"),
    "generated name": (lambda o: o["ConfigMap"]["metadata"].update(generateName="podsonar-"), "metadata.generateName"),
    "finalizer": (lambda o: o["ConfigMap"]["metadata"].update(finalizers=["a/b"]), "metadata.finalizers"),
    "owner": (lambda o: o["ConfigMap"]["metadata"].update(ownerReferences=[]), "metadata.ownerReferences"),
    "status": (lambda o: o["Deployment"].update(status={}), "a status"),
    "unknown kind": (lambda o: o["ConfigMap"].update(kind="Job", apiVersion="batch/v1"), "kind 'Job'"),
    "kind of another version": (lambda o: o["Deployment"].update(apiVersion="extensions/v1beta1"), "kind 'Deployment'"),
    "rule for everything": (
        lambda o: o["ClusterRole"].update(rules=[EVERYTHING]),
        "a rule with *",
    ),
    "rule that changes": (
        lambda o: o["ClusterRole"]["rules"][0].update(verbs=["list", "create"]),
        "a rule with create",
    ),
    "rule for Secrets": (lambda o: o["ClusterRole"]["rules"][0].update(resources=["secrets"]), "a rule for secrets"),
    "rule for URLs": (
        lambda o: o["ClusterRole"]["rules"].append(URLS),
        "URLs",
    ),
    "aggregation": (lambda o: o["ClusterRole"].update(aggregationRule={}), "aggregation"),
    "binding of another role": (
        lambda o: o["ClusterRoleBinding"]["roleRef"].update(name="cluster-admin"),
        "binds ClusterRole 'cluster-admin'",
    ),
    "binding to a person": (
        lambda o: o["ClusterRoleBinding"].update(subjects=[{"kind": "User", "name": "eve"}]),
        "binds to User 'eve'",
    ),
    "binding to an account elsewhere": (
        lambda o: o["ClusterRoleBinding"]["subjects"][0].update(namespace="default"),
        "binds to ServiceAccount",
    ),
    "node port": (lambda o: o["Service"]["spec"].update(type="NodePort"), "type NodePort"),
    "external address": (lambda o: o["Service"]["spec"].update(externalIPs=["192.0.2.1"]), "external addresses"),
    "policy for all pods": (lambda o: o["NetworkPolicy"]["spec"].update(podSelector={}), "a pod selector"),
}


def changed(change: Change) -> list[Object]:
    """An agent's list with a change; the first object of each kind is changed."""
    objects = copy.deepcopy(AGENT)
    by_kind: dict[str, Object] = {}
    for one in objects:
        by_kind.setdefault(one["kind"], one)
    change(by_kind)
    return objects


def test_list_of_an_agent_passes() -> None:
    """As the manager renders it."""
    assert check(AGENT, RULES) == []


@pytest.mark.parametrize("case", REFUSED)
def test_list_that_asks_for_more_is_refused_with_the_reason(case: str) -> None:
    """One change each; what is not known is refused, too."""
    change, reason = REFUSED[case]
    found = check(changed(change), RULES)
    assert any(reason in one.message for one in found), found
    assert {one.result for one in found} == {"refused"}


def test_list_of_201_objects_is_refused() -> None:
    """200 are not."""
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "hce"}}
    many = [{**one, "metadata": {**one["metadata"], "name": f"podsonar-{n}"}} for n in range(201)]  # type: ignore[dict-item]
    assert check(many[:200], RULES) == []
    (found,) = check(many, RULES)
    assert found.message == "201 objects, expected at most 200"


def test_list_of_more_than_4_mib_is_refused() -> None:
    """Before anything in it is looked at."""
    large = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"a": "x" * (4 << 20)}}
    (found,) = check([large], RULES)
    assert "bytes, expected at most" in found.message


def test_object_that_comes_twice_is_refused() -> None:
    """Which of them is meant?"""
    assert any("more than once" in one.message for one in check([*AGENT, AGENT[-1]], RULES))


@pytest.mark.parametrize("body", [{}, {"kind": []}, {"apiVersion": "v1", "kind": "ConfigMap"}, {"metadata": "x"}])
def test_object_without_form_is_refused(body: dict[str, Any]) -> None:
    """And nothing is raised."""
    assert check([body], RULES)


def test_existing_account_is_for_those_that_the_settings_name() -> None:
    """An account may hold rights that no list shows."""
    manifests = agent_manifests(kubernetes(serviceAccount="mine"), Source("https://m.example"), TOKEN, permanent=True)
    assert any("'mine'" in one.message for one in check(manifests, RULES))
    named = DelegateRules(
        name="d", namespaces=["hce"], image_prefixes=["localhost/podsonar-"], service_accounts=["mine"]
    )
    assert check(manifests, named) == []
