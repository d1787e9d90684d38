"""Lists that may not or cannot be applied leave everything as it was, on a real API server."""

import copy
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from manager.installations.agent_values import Source
from manager.installations.handout import agent_manifests
from manager.installations.tasks import create_task
from manager.store.tenancy import Tenant
from tests.delegate.conftest import Site
from tests.delegate.stages.test_check import TOKEN, container
from tests.manager.installations.test_agent_manifests import kubernetes

pytestmark = pytest.mark.cluster
Change = Callable[[dict[str, dict[str, Any]]], object]

REFUSED: dict[str, tuple[Change, str]] = {
    "privileged pod": (lambda o: container(o)["securityContext"].update(privileged=True), "privileged container"),
    "other namespace": (lambda o: o["ConfigMap"]["metadata"].update(namespace="default"), "namespace 'default'"),
    "other image": (lambda o: container(o).update(image="docker.io/miner:1"), "image 'docker.io/miner:1'"),
}


def versions(site: Site) -> dict[str, str]:
    """The version of every object."""
    return {name: one["metadata"]["resourceVersion"] for name, one in site.objects().items()}


def hand_out(site: Site, manifests: list[dict[str, Any]]) -> str:
    """A task with a list of our own; its id."""
    with site.store.writing() as connection:
        tenant = Tenant(site.namespace)
        body = {"manifests": manifests, "awaitSeconds": 5}
        return create_task(connection, tenant, "apply", body, time.time_ns(), secrets.token_bytes, log_key="k")


def agent_list(site: Site) -> list[dict[str, Any]]:
    """The list of an agent in the site's namespace."""
    return agent_manifests(kubernetes(namespace=site.namespace), Source("https://m.example"), TOKEN, permanent=True)


def test_refused_lists_change_nothing(site: Site) -> None:
    """Privileged pod, other namespace, foreign image, 201 objects: REFUSED with the reason, no version changed."""
    before = versions(site)
    one = {"apiVersion": "v1", "kind": "ConfigMap"}
    many = [{**one, "metadata": {"namespace": site.namespace, "name": f"podsonar-{n}"}} for n in range(201)]
    tasks = {hand_out(site, many): "201 objects"}
    for change, reason in REFUSED.values():
        manifests = copy.deepcopy(agent_list(site))
        change({body["kind"]: body for body in reversed(manifests)})
        tasks[hand_out(site, manifests)] = reason
    with site.delegate():
        for task_id, reason in tasks.items():
            state = site.wait_for_end(task_id)
            assert state.status == "REFUSED"
            assert reason in state.message
    assert versions(site) == before


def test_field_that_a_person_has_set_is_a_conflict_and_stays(site: Site) -> None:
    """FAILED, with field and manager; nothing else is applied."""
    path = f"/api/v1/namespaces/{site.namespace}/configmaps/podsonar-collector"
    mine = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "podsonar-collector"},
        "data": {"config.yaml": "mine"},
    }
    headers = {"Content-Type": "application/apply-patch+yaml"}
    site.plane.client.patch(path, params={"fieldManager": "a-person"}, json=mine, headers=headers).raise_for_status()
    before = versions(site)
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    with site.delegate():
        state = site.wait_for_end(installation.task_id)
    assert state.status == "FAILED"
    assert 'conflict with "a-person": .data.config.yaml' in state.message
    assert versions(site) == before
    assert site.plane.client.get(path).json()["data"] == {"config.yaml": "mine"}


def test_object_of_a_person_is_not_deleted_with_the_agent(site: Site) -> None:
    """It was there before; what the delegate created goes."""
    mine = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "podsonar-collector", "namespace": site.namespace},
    }
    (stored,) = site.plane.apply([mine])
    before = set(site.objects())
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    with site.delegate():
        assert site.wait_for_end(installation.task_id).status == "SUCCESS"
        site.remove(installation)
    after = site.objects()
    assert set(after) == before
    name = f"serviceaccounts {site.namespace}/podsonar-collector"
    assert after[name]["metadata"]["uid"] == stored["metadata"]["uid"]


def test_workload_that_does_not_come_up_fails_with_the_reason(site: Site) -> None:
    """In the words of the kubelet; the objects stay for a person to look at."""
    site.workloads.held.add("podsonar-collector")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "stuck",
            "namespace": site.namespace,
            "labels": {
                "app.kubernetes.io/name": "podsonar",
                "app.kubernetes.io/instance": "podsonar",
                "app.kubernetes.io/component": "collector",
            },
        },
        "spec": {"containers": [{"name": "collector", "image": "a"}]},
        "status": {
            "containerStatuses": [
                {
                    "name": "collector",
                    "image": "a",
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
                }
            ]
        },
    }
    site.plane.apply([pod])
    task_id = hand_out(site, agent_list(site))
    with site.delegate():
        state = site.wait_for_end(task_id)
    assert state.status == "FAILED"
    assert "Deployment" in state.message
    assert "not available after 5 s: collector: ImagePullBackOff not found" in state.message
