"""delegate/stages/runner_rules.py: a runner's list is accepted where runners are allowed, and nothing beyond it."""

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest

from chaos.control.experiments.runner_manifests import RIGHTS, RunIds, RunnerPlace, SecretKey, runner_manifests
from chaos.control.experiments.runs.manifest import read_manifest
from cluster_api.client import ApiClient
from cluster_api.objects import Objects, Right
from cluster_api.resources import BY_KIND
from delegate.app import check_rules
from delegate.stages.check import check
from delegate.stages.dry_run import in_order
from lab.controlplane.server import ControlPlane
from manager.installations.agent_manifests import Object
from podsonar.errors import ObjectRefusedError, SettingsError
from podsonar.settings import DelegateRules, DelegateSettings, RunnerDirectory
from tests.delegate.conftest import rendered_delegate

RULES = DelegateRules(
    name="d", namespaces=["hce", "shop"], image_prefixes=["localhost/podsonar-"], rbac="managed", runners=True
)


def runner(
    namespace: str = "hce", targeted: str = "shop", directory: RunnerDirectory | None = None
) -> list[dict[str, Any]]:
    """The list of a runner with every fault and guards, in one namespace, with targets in another."""
    workloads = [{"kind": "deployment", "namespace": targeted, "names": "cart"}]
    env = [{"name": "DESTINATION_SERVICE", "value": f"{targeted}/cart"}]
    tasks = [
        {
            "name": fault,
            "definition": {
                "targets": {"selectors": {"workloads": workloads}},
                "chaos": {"experiment": fault, "env": env},
            },
        }
        for fault in RIGHTS
    ]
    document = {
        "kind": "KubernetesChaosExperiment",
        "metadata": {"name": "x", "namespace": namespace},
        "spec": {"tasks": tasks, "steps": [[{"name": one["name"]}] for one in tasks], "guards": {}},
    }
    image = "localhost/podsonar-collector:1"
    place = RunnerPlace("podsonar-run-1", namespace, image, "i", "https://m", "a", "o", "p", "e", "k", "l")
    if directory is not None:
        place = place._replace(directory=directory.url, directory_secret=SecretKey(directory.secret, directory.key))
    return runner_manifests(place, RunIds("e", "r", "n"), read_manifest(document))


def wait_until(taken_in: Callable[[], bool]) -> None:
    """Return once the API server has taken a changed role in; fail after 30 s."""
    deadline = time.monotonic() + 30
    while not taken_in():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def may_apply(objects: Objects, role: dict[str, Any]) -> bool:
    """Whether the delegate may make the role, by a dry run."""
    try:
        objects.apply(role, "podsonar-delegate", dry_run=True)
    except ObjectRefusedError:
        return False
    return True


def refusals(rules: DelegateRules, change: Callable[[dict[str, Object]], object] | None = None) -> list[str]:
    """Why a list is refused after a change of one of its objects; of two roles the last is changed."""
    bodies = copy.deepcopy(runner())
    if change:
        change({body["kind"]: body for body in bodies})
    return [f"{one.kind}: {one.message}" for one in check(bodies, rules)]


def pod(objects: dict[str, Object]) -> dict[str, Any]:
    """The pod of the runner."""
    found: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return found


def grant(group: str, resource: str, verb: str) -> Callable[[dict[str, Object]], object]:
    """One more rule."""
    rule = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
    return lambda objects: objects["Role"]["rules"].append(rule)


def test_list_of_a_runner_is_accepted_where_runners_are_allowed() -> None:
    """Every fault's rights; not by default, and not outside the delegate's namespaces."""
    assert refusals(RULES) == []
    by_default = DelegateRules(name="d", namespaces=["hce", "shop"], image_prefixes=["localhost/podsonar-"])
    found = " ".join(refusals(by_default))
    assert "Deployment: a runner of experiments, and delegate.runners is false" in found
    assert "a rule with delete" in found
    assert "envFrom" in found
    elsewhere = DelegateRules(
        name="d", namespaces=["hce"], image_prefixes=["localhost/podsonar-"], rbac="managed", runners=True
    )
    assert "Role: namespace 'shop', expected one of hce" in refusals(elsewhere)


@pytest.mark.cluster
@pytest.mark.long
def test_list_of_a_runner_is_applied_with_the_delegates_rights_alone(plane: ControlPlane) -> None:
    """Nobody grants what he lacks: the chart's role for runners holds every right of every fault."""
    namespace, targets = "hce-runners", "hce-targets"
    for name in (namespace, targets):
        plane.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}])
    places = f"delegate.namespaces={{{namespace},{targets}}}"
    bodies = runner(namespace, targets)
    plane.apply(rendered_delegate(namespace, "managed", places))
    objects = Objects(ApiClient.connect(plane.kubeconfig_for(namespace, "podsonar-delegate")))
    role = next(body for body in bodies if body["kind"] == "Role")
    wait_until(lambda: objects.may(Right("patch", BY_KIND[role["apiVersion"], "Role"], role["metadata"]["namespace"])))
    with pytest.raises(ObjectRefusedError, match="attempting to grant RBAC permissions not currently held"):
        objects.apply(role, "podsonar-delegate")
    plane.apply(rendered_delegate(namespace, "managed", places, "delegate.runners=true"))
    wait_until(lambda: all(may_apply(objects, one) for one in bodies if one["kind"] == "Role"))
    for body in in_order(bodies):
        assert objects.apply(body, "podsonar-delegate").created


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(grant("", "pods", "patch"), "a rule with patch", id="patch"),
        pytest.param(grant("", "services", "delete"), "a rule with delete", id="delete of another resource"),
        pytest.param(grant("apps", "pods", "delete"), "a rule with delete", id="delete in another group"),
        pytest.param(grant("apps", "deployments", "create"), "a rule with create", id="create of workloads"),
        pytest.param(grant("", "secrets", "get"), "a rule for secrets", id="secrets"),
        pytest.param(grant("", "pods/exec", "create"), "a rule", id="exec"),
        pytest.param(grant("", "*", "delete"), "a rule with *", id="every resource"),
        pytest.param(
            lambda o: o["Role"]["rules"].append(
                {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["delete"]}
            ),
            "a rule with delete",
            id="one rule for two resources",
        ),
        pytest.param(lambda o: o["Role"].update(kind="ClusterRole"), "a rule with", id="role of the cluster"),
        pytest.param(
            lambda o: pod(o)["containers"][0].update(args=["delegate", "run"]), "a rule with", id="another program"
        ),
        pytest.param(
            lambda o: pod(o)["containers"].append(pod(o)["containers"][0]), "a rule with", id="a second container"
        ),
        pytest.param(lambda o: o["Secret"]["metadata"].pop("labels"), "a rule with", id="an object without its labels"),
        pytest.param(
            lambda o: pod(o)["containers"][0]["envFrom"].append({"secretRef": {"name": "other"}}),
            "envFrom Secret 'other'",
            id="another Secret",
        ),
        pytest.param(
            lambda o: pod(o)["containers"][0]["envFrom"].append({"secretRef": {"name": "podsonar-ingest-token"}}),
            "envFrom Secret 'podsonar-ingest-token'",
            id="another Secret of the prefix",
        ),
        pytest.param(
            lambda o: pod(o).update(volumes=[{"name": "v", "secret": {"secretName": "podsonar-delegate-token"}}]),
            "volume of Secret 'podsonar-delegate-token'",
            id="a mounted Secret of the prefix",
        ),
        pytest.param(
            lambda o: pod(o)["containers"][0]["envFrom"].append({"configMapRef": {"name": "other"}}),
            "envFrom ConfigMap 'other'",
            id="another ConfigMap",
        ),
        pytest.param(
            lambda o: pod(o)["containers"][0]["envFrom"].append({"fileRef": {"name": "x"}}),
            "envFrom fileRef",
            id="file",
        ),
        pytest.param(lambda o: pod(o)["containers"][0].update(command=["sh"]), "field 'command'", id="command"),
        pytest.param(lambda o: pod(o).update(hostPID=True), "hostPID", id="host"),
        pytest.param(
            lambda o: pod(o)["containers"][0]["securityContext"]["capabilities"].update(add=["BPF"]),
            "capability 'BPF'",
            id="capability",
        ),
        pytest.param(lambda o: pod(o)["containers"][0].update(image="evil/podsonar:1"), "image", id="image"),
    ],
)
def test_more_than_a_runner_needs_is_refused(change: Callable[[dict[str, Object]], object], expected: str) -> None:
    """With its reason; a list that is no runner's has an agent's rules."""
    assert any(expected in one for one in refusals(RULES, change)), refusals(RULES, change)


def test_runners_want_roles_that_the_delegate_makes() -> None:
    """A runner's role is made per run: none can be there before."""
    with pytest.raises(SettingsError, match=r"expected delegate\.rbac: managed"):
        check_rules(
            DelegateSettings(delegate=DelegateRules(name="d", namespaces=["n"], image_prefixes=["x"], runners=True))
        )
