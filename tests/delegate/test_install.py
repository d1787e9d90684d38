"""An agent goes into a cluster, and out of it again, by the hands of a delegate."""

import pytest

from manager.store.tenancy import Tenant
from tests.delegate.conftest import Site

pytestmark = pytest.mark.cluster


def test_agent_is_installed_and_reported_object_by_object(site: Site) -> None:
    """PENDING → RUNNING; each object created, the roles compared, the pods named."""
    agent = site.agent(tenant=Tenant(site.namespace))
    installation = site.install(agent)
    shown = site.shown(installation)
    assert (shown["delegateTaskStatus"], shown["agentDetails"], shown["delegateID"]) == (
        "PROCESSED",
        {"status": "PENDING"},
        "",
    )
    with site.delegate():
        task = site.wait_for_end(installation.task_id)
    assert task.status == "SUCCESS", task
    created = {name for name, result in task.results().items() if result == "created"}
    assert created == {
        "ServiceAccount podsonar-collector",
        "ServiceAccount podsonar-node-agent",
        "NetworkPolicy podsonar-collector",
        "NetworkPolicy podsonar-node-agent",
        "Secret podsonar-token",
        "ConfigMap podsonar-collector",
        "ConfigMap podsonar-node-agent",
        "Service podsonar-collector",
        "DaemonSet podsonar-node-agent",
        "Deployment podsonar-collector",
    }
    shown = site.shown(installation)
    assert (shown["delegateTaskStatus"], shown["agentDetails"]["status"]) == ("SUCCESS", "RUNNING")
    assert shown["agentDetails"]["cluster"]["name"] == "podsonar-collector-x"
    assert [pod["node"] for pod in shown["agentDetails"]["node"]] == ["node-a"]
    assert shown["delegateID"]


def test_log_tells_each_step(site: Site) -> None:
    """From the request to the end, with every object, in one stream."""
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    with site.delegate():
        assert site.wait_for_end(installation.task_id).status == "SUCCESS"
        site.remove(installation)
    lines = site.log_lines(installation)
    steps = ["waiting for a delegate", "attempt 1: apply, 13 objects", "checked; to be created: 10"]
    steps += [
        f"Secret {site.namespace}/podsonar-token: created",
        f"Deployment {site.namespace}/podsonar-collector: created",
    ]
    steps += [
        "applied; waiting for workloads",
        "SUCCESS",
        "stopped: it is being taken away",
        "attempt 1: delete, 10 objects",
    ]
    steps += [
        f"Deployment {site.namespace}/podsonar-collector: deleted",
        f"Secret {site.namespace}/podsonar-token: deleted",
    ]
    places = [lines.index(step) for step in steps]
    assert places == sorted(places), lines
    assert len([line for line in lines if line.endswith(": created")]) == 10


@pytest.mark.parametrize("rbac", ["preinstalled", "managed"])
def test_stopped_agent_leaves_every_object_as_it_was(request: pytest.FixtureRequest, rbac: str) -> None:
    """All objects of the cluster by uid, before and after."""
    site: Site = request.getfixturevalue("site" if rbac == "preinstalled" else "managed_site")
    before = {name: one["metadata"]["uid"] for name, one in site.objects().items()}
    installation = site.install(site.agent(tenant=Tenant(site.namespace)))
    with site.delegate():
        assert site.wait_for_end(installation.task_id).status == "SUCCESS"
        assert len(site.objects()) > len(before)
        site.remove(installation)
    assert {name: one["metadata"]["uid"] for name, one in site.objects().items()} == before
    assert site.shown(installation)["stopped"] is True


def test_applying_again_changes_nothing(site: Site) -> None:
    """A second installation of the same agent: every object unchanged, the token too."""
    agent = site.agent(tenant=Tenant(site.namespace))
    with site.delegate():
        assert site.wait_for_end(site.install(agent).task_id).status == "SUCCESS"
        before = {name: one["metadata"]["resourceVersion"] for name, one in site.objects().items()}
        again = site.wait_for_end(site.install(agent).task_id)
    assert set(again.results().values()) == {"unchanged"}, again
    assert {name: one["metadata"]["resourceVersion"] for name, one in site.objects().items()} == before
