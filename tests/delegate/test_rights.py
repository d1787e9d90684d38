"""Each rule of the delegate's role taken away in turn: what is missing is named, and nothing is half applied."""

import copy
from typing import Any

import pytest

from cluster_api.client import ApiClient
from cluster_api.objects import Objects, Right
from cluster_api.resources import RESOURCES, Resource
from manager.store.tenancy import Tenant
from tests.delegate.conftest import Site, rendered_delegate
from tests.delegate.test_refused import versions

pytestmark = pytest.mark.cluster
ROLES = ("Role", "ClusterRole")
BY_PLURAL = {row.plural: row for row in RESOURCES}


def delegate_roles(namespace: str, rbac: str) -> list[dict[str, Any]]:
    """The roles of the delegate itself."""
    found = [one for one in rendered_delegate(namespace, rbac) if one["kind"] in ROLES]
    return [one for one in found if one["metadata"]["name"].endswith("podsonar-delegate")]


def rights(rule: dict[str, Any], namespace: str) -> list[Right]:
    """What a rule allows; of those kinds that have a row in the table."""
    names = rule.get("resourceNames", [""])
    return [
        Right(verb, BY_PLURAL[plural], namespace if BY_PLURAL[plural].namespaced else "", name)
        for plural in rule["resources"]
        if plural in BY_PLURAL
        for verb in rule["verbs"]
        for name in names
        if name != "kube-system"
    ]


def may_all(objects: Objects, rule: dict[str, Any]) -> bool:
    """Whether an identity may do in all namespaces whatever a rule allows, as far as the API server knows by now."""
    (group,) = rule["apiGroups"]
    rows = [Resource(f"{group}/v1" if group else "v1", "", plural, namespaced=True) for plural in rule["resources"]]
    return all(objects.may(Right(verb, row, "")) for row in rows for verb in rule["verbs"])


def wait_for_rights(site: Site, wanted: list[Right], *, allowed: bool) -> None:
    """Return once the API server has taken a changed role in."""
    objects = Objects(ApiClient.connect(site.kubeconfig, "test"))
    site.wait(lambda: all(objects.may(right) is allowed for right in wanted))


@pytest.mark.parametrize("rbac", ["preinstalled", "managed"])
def test_missing_rule_is_named_and_nothing_is_applied(request: pytest.FixtureRequest, rbac: str) -> None:
    """FAILED, with object, verb and API group; every object as before."""
    site: Site = request.getfixturevalue("site" if rbac == "preinstalled" else "managed_site")
    tenant = Tenant(site.namespace)
    agent, namespaced = site.agent(tenant=tenant), site.agent(tenant=tenant, kubernetes={"namespaced": True})
    tried = 0
    with site.delegate():
        site.wait(lambda: "delegate_started" in site.log_text())
        for role in delegate_roles(site.namespace, rbac):
            for number, rule in enumerate(role["rules"]):
                wanted = rights(rule, site.namespace)
                if not {"get", "create"} & set(rule["verbs"]):
                    continue  # rules of the collector, which are there to be granted (see below), and the list of pods
                fewer = copy.deepcopy(role)
                del fewer["rules"][number]
                site.plane.apply([fewer])
                wait_for_rights(site, wanted, allowed=False)
                before = versions(site)
                installed = namespaced if "roles" in rule["resources"] else agent
                state = site.wait_for_end(site.install(installed).task_id)
                assert state.status == "FAILED", (rule, state)
                group = rule["apiGroups"][0]
                for plural in rule["resources"]:
                    assert f"{plural} of API group {group!r}" in state.message, (rule, state.message)
                    assert BY_PLURAL[plural].kind in state.message
                assert versions(site) == before
                site.plane.apply([role])
                wait_for_rights(site, wanted, allowed=True)
                tried += 1
        assert tried >= 5
        assert site.wait_for_end(site.install(agent).task_id).status == "SUCCESS"


def test_rule_that_the_delegate_may_not_grant_is_named(managed_site: Site) -> None:
    """Kubernetes lets nobody grant what he lacks: the dry run says which rule, and nothing is applied."""
    site = managed_site
    agent = site.agent(tenant=Tenant(site.namespace))
    roles = {one["kind"]: one for one in delegate_roles(site.namespace, "managed")}
    objects = Objects(ApiClient.connect(site.kubeconfig, "test"))
    with site.delegate():
        site.wait(lambda: "delegate_started" in site.log_text())
        for number, rule in enumerate(roles["ClusterRole"]["rules"]):
            if rule["verbs"] not in (["list"], ["watch"], ["list", "watch"]) or rule["apiGroups"] == ["batch"]:
                continue
            fewer = copy.deepcopy(roles["ClusterRole"])
            del fewer["rules"][number]
            site.plane.apply([fewer])
            site.wait(lambda rule=rule: not may_all(objects, rule))
            before = versions(site)
            plural = rule["resources"][-1]
            state = site.wait_for_end(site.install(agent).task_id)
            assert state.status == "FAILED", (rule, state)
            assert "ClusterRole" in state.message
            assert "attempting to grant RBAC permissions not currently held" in state.message
            assert plural in state.message
            assert versions(site) == before
            site.plane.apply([roles["ClusterRole"]])
            site.wait(lambda rule=rule: may_all(objects, rule))
