"""What the document leaves open and docs/api.md decides: agents, settings, discovered services, pods, lists."""

import copy
import secrets
from contextlib import closing
from typing import Any

import pytest

from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from tests.manager.api.operations import TENANT, Caller, agent_request, make_key, standing_shop
from tests.manager.conftest import CLIENT, Running
from tests.manager.shop import LISTS, NODE_A, inventory

CONTAINERS: dict[str, Any] = {
    "spec": {
        "nodeName": "node-a",
        "initContainers": [{"name": "first", "image": "i", "volumeMounts": [{"name": "disk", "mountPath": "/init"}]}],
        "containers": [
            {
                "name": "c",
                "image": "c:1",
                "volumeMounts": [
                    {"name": "disk", "mountPath": "/data"},
                    {"name": "disk", "mountPath": "/more"},
                    {"name": "scratch", "mountPath": "/scratch"},
                ],
            }
        ],
        "ephemeralContainers": [{"name": "debug", "image": "d"}],
        "volumes": [
            {"name": "disk", "persistentVolumeClaim": {"claimName": "orders"}},
            {"name": "scratch", "emptyDir": {}},
        ],
    },
    "status": {"podIPs": [{"ip": "10.1.1.20"}], "containerStatuses": [{"name": "c", "containerID": "containerd://1"}]},
}


def admin(running: Running) -> Caller:
    """A caller of a tenant without an agent."""
    return Caller(running.url, make_key(running.database, "admin"), path={"agentIdentity": "a"})


def token_of(caller: Caller) -> str:
    """A new token of the caller's agent."""
    text: str = caller.good("getAgentToken")["token"]
    return text


def handed_out(running: Running) -> list[dict[str, Any]]:
    """The tasks that a delegate of the tenant's account gets now."""
    with closing(Store(running.database)) as store:
        token = create_token(store, "delegate", "d", 1, secrets.token_bytes, tenant=Tenant(TENANT.account)).text()
    poll = {"name": "d", "cluster": {"uid": "c-1"}, "waitSeconds": 0}
    answer = CLIENT.post(f"{running.url}/v1/delegates/poll", json=poll, headers={"Authorization": f"Token {token}"})
    tasks: list[dict[str, Any]] = answer.json()["tasks"] if answer.status_code == 200 else []
    return tasks


def test_agent_shows_its_counts_its_inventory_and_its_newest_installation(running: Running) -> None:
    """Services of the cluster are counted, not workloads; counts of 0 are left out; a change replaces the whole."""
    caller = admin(running)
    made = caller.good("createAgent", agent_request("a"))
    assert {"serviceCount", "networkMapCount"}.isdisjoint(caller.good("getAgent"))
    assert running.push(inventory(), Authorization=f"Token {token_of(caller)}").status_code == 201
    services = caller.good("listDiscoveredService")["items"]
    resources = [{"id": one["id"], "kind": "DiscoveredService", "name": one["name"]} for one in services]
    caller.good("createNetworkMap", {"identity": "m", "name": "m", "resources": resources})
    second = caller.good("createInstallation", {})
    found = caller.good("getAgent")
    assert (found["serviceCount"], found["networkMapCount"]) == (3, 1)
    assert found["installationDetails"]["id"] == second["id"] != made["installationDetails"]["id"]
    assert found["inventory"]
    config = {"data": {"enableOrphanedPod": True}}
    changed = caller.good("updateAgent", {"name": "n", "config": config})
    other = caller.good("createAgent", agent_request("b") | {"config": config})
    assert (changed["name"], changed["config"]) == ("n", other["config"])
    assert changed["config"] != made["config"]
    assert caller.good("getInfrastructureForAgent")["config"] == changed["config"]


def test_configuration_that_cannot_be_installed_changes_nothing(running: Running) -> None:
    """400 that names the member, at creation and at a change."""
    caller = admin(running)
    bad = agent_request("a") | {"config": {"data": {}, "skipSecureVerify": True}}
    for query in ({}, {"noInstallation": "true"}):
        answer = caller.call("createAgent", bad, **query)
        assert (answer.status_code, "skipSecureVerify" in answer.text) == (400, True)
    assert caller.good("listAgent")["items"] == []
    before = caller.good("createAgent", agent_request("a"))
    answer = caller.call("updateAgent", {"name": "n", "config": bad["config"]})
    assert (answer.status_code, "skipSecureVerify" in answer.text) == (400, True)
    assert caller.good("getAgent")["name"] == before["name"]


def test_installation_takes_the_place_of_one_that_waits_and_uses_what_was_changed(running: Running) -> None:
    """A delegate gets the second alone, with the agent's new configuration."""
    caller = admin(running)
    first = caller.good("createAgent", agent_request("a"))["installationDetails"]
    config = {"data": {"enableNodeAgent": False}, "kubernetes": {"namespace": "elsewhere"}}
    caller.good("updateAgent", {"name": "a", "config": config})
    second = caller.good("createInstallation", {})
    (task,) = handed_out(running)
    assert task["id"] == second["delegateTaskID"]
    kinds = {one["kind"] for one in task["manifests"]}
    assert ("Deployment" in kinds, "DaemonSet" in kinds) == (True, False)
    assert {one["metadata"].get("namespace", "elsewhere") for one in task["manifests"]} == {"elsewhere"}
    caller.path["installationID"] = first["id"]
    assert caller.good("getInstallation")["delegateTaskStatus"] == "ABORTED"
    assert [one["id"] for one in caller.good("listInstallation")["items"]] == [second["id"], first["id"]]


def test_image_registry_is_used_by_agents_of_its_project_until_it_is_reset(running: Running) -> None:
    """Server and account before each image, and the secrets to pull it; a save without a registry changes nothing."""
    caller = admin(running)
    registry = {"server": "registry.example", "account": "acme", "secrets": ["pull"]}
    assert caller.good("getSetting")["imageRegistry"] == {"server": "", "account": "", "secrets": []}
    saved = caller.good("saveSetting", {"imageRegistry": registry})
    assert caller.good("saveSetting", {})["imageRegistry"] == registry
    assert (caller.good("getSetting")["imageRegistry"], caller.good("getSetting")["id"]) == (registry, saved["id"])
    other = Caller(caller.url, make_key(running.database, "admin", TENANT._replace(project="x")), TENANT)
    other.tenant = TENANT._replace(project="x")
    assert other.good("getSetting")["imageRegistry"]["server"] == ""
    caller.good("createAgent", agent_request("a"))
    assert pod_of_collector(handed_out(running)) == (True, [{"name": "pull"}])
    assert caller.good("resetImageRegistrySetting", {})["imageRegistry"] == {"server": "", "account": "", "secrets": []}
    caller.path["agentIdentity"] = "b"
    caller.good("createAgent", agent_request("b"))
    tasks = [one for one in handed_out(running) if one["manifests"]]
    assert pod_of_collector(tasks[-1:]) == (False, None)


def pod_of_collector(tasks: list[dict[str, Any]]) -> tuple[bool, Any]:
    """Whether the collector's image is of the saved registry, and its secrets to pull."""
    (task,) = tasks
    (deployment,) = (one for one in task["manifests"] if one["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    image: str = pod["containers"][0]["image"]
    return image.startswith("registry.example/acme/"), pod.get("imagePullSecrets")


def test_infrastructures_are_the_agents_of_the_tenant(running: Running) -> None:
    """One each, in the order of names."""
    caller = admin(running)
    for identity in ("b", "a"):
        caller.good("createAgent", agent_request(identity))
    found = caller.good("listInfrastructure")["items"]
    assert [(one["identifier"], one["agentName"]) for one in found] == [("a", "DA-a"), ("b", "DA-b")]
    assert {one["type"] for one in found} == {"KubernetesDirect"}
    assert {(one["orgIdentifier"], one["projectIdentifier"], one["environmentRef"]) for one in found} == {TENANT[1:]}


def test_lists_are_cut_into_pages_and_searched_by_parts_of_names(running: Running) -> None:
    """In any case of letters; the order is that of names, whatever the page."""
    caller = admin(running)
    for number in range(12):
        caller.good("createAgent", agent_request(f"agent-{number:02}"))
    pages = [caller.good("listAgent", page=str(number), limit="5") for number in range(4)]
    listed = [one["identity"] for page in pages for one in page["items"]]
    assert listed == [f"agent-{number:02}" for number in range(12)]
    assert [len(page["items"]) for page in pages] == [5, 5, 2, 0]
    assert pages[1]["page"] == {"all": False, "index": 1, "limit": 5, "totalItems": 12, "totalPages": 3}
    assert len(caller.good("listAgent", all="true")["items"]) == 12
    assert len(caller.good("listAgent")["items"]) == 10
    assert [one["identity"] for one in caller.good("listAgent", search="NT-1")["items"]] == ["agent-10", "agent-11"]
    assert caller.good("listAgent", search="_")["items"] == []
    assert [one["identifier"] for one in caller.good("listInfrastructure", search="-03")["items"]] == ["agent-03"]


@pytest.fixture
def shop(running: Running) -> Caller:
    """A caller for an agent that has pushed the shop."""
    return standing_shop(running)


def test_discovered_services_are_services_and_workloads_that_none_selects(running: Running, shop: Caller) -> None:
    """Their ids stay as long as their names do; the newest whole inventory counts."""
    before = {one["name"]: one["id"] for one in shop.good("listDiscoveredService")["items"]}
    kinds = {one["name"]: one["spec"]["kubernetes"]["kind"] for one in shop.good("listDiscoveredService")["items"]}
    assert kinds == {"cart": "Service", "db": "Service", "frontend": "Service", "load": "Deployment"}
    assert [one["name"] for one in shop.good("listDiscoveredService", search="R")["items"]] == ["cart", "frontend"]
    assert shop.good("listDiscoveredService", namespace="sho")["items"] == []
    lists = copy.deepcopy(LISTS)
    lists["serviceList"] = [one for one in lists["serviceList"] if one["metadata"]["name"] != "cart"]
    token = token_of(shop)
    body = inventory(lists, id="inv-2", sequence=2)
    assert running.push(body, "next", Authorization=f"Token {token}").status_code == 201
    after = {one["name"]: one for one in shop.good("listDiscoveredService")["items"]}
    assert {name: one["id"] for name, one in after.items() if name != "cart"} == {
        name: value for name, value in before.items() if name != "cart"
    }
    assert after["cart"]["spec"]["kubernetes"]["kind"] == "Deployment"
    assert after["cart"]["id"] != before["cart"]
    shop.path["dsvc_id"] = before["cart"]
    assert shop.call("getDiscoveredService").status_code == 404


def test_what_is_behind_a_discovered_service_is_found_and_nothing_else(shop: Caller) -> None:
    """Its Service, its workload's pods; 404 for a workload or a pod of another one."""
    assert shop.good("getServiceForDiscoveredService")["name"] == "cart"
    assert [one["name"] for one in shop.good("listPodForDiscoveredService")["items"]] == ["cart-1", "cart-2"]
    assert shop.good("getPodForDiscoveredService")["uid"] == "uid-cart-1"
    own = dict(shop.path)
    shop.path = own | {"pod_uid": "uid-db-1"}
    assert shop.call("getPodForDiscoveredService").status_code == 404
    shop.path = own | {"wl_uid": "dep-frontend"}
    assert shop.call("listPodForDiscoveredService").status_code == 404
    services = {one["name"]: one for one in shop.good("listDiscoveredService")["items"]}
    shop.path = own | {"dsvc_id": services["load"]["id"]}
    assert shop.call("getServiceForDiscoveredService").status_code == 404
    (workload,) = services["db"]["spec"]["kubernetes"]["workloads"]
    assert workload["identity"]["uid"] == "uid-db-1", "a pod without an owner stands for itself"


def test_containers_and_claims_of_a_pod(running: Running, shop: Caller) -> None:
    """Each container by its type, with its id once it runs; one item for each place of a claim."""
    lists = copy.deepcopy(LISTS)
    pod = next(one for one in lists["podList"] if one["metadata"]["name"] == "cart-1")
    pod |= CONTAINERS
    token = token_of(shop)
    assert running.push(inventory(lists, id="i2", sequence=2), "i2", Authorization=f"Token {token}").status_code == 201
    assert shop.good("listContainerOfAPod")["items"] == [
        {"id": "", "image": "i", "name": "first", "type": "initContainer"},
        {"id": "containerd://1", "image": "c:1", "name": "c", "type": "container"},
        {"id": "", "image": "d", "name": "debug", "type": "ephemeralContainer"},
    ]
    claims = shop.good("listPVCOfAPod")["items"]
    assert [(one["containerName"], one["containerType"], one["mountPath"]) for one in claims] == [
        ("first", "initContainer", "/init"),
        ("c", "container", "/data"),
        ("c", "container", "/more"),
    ]
    assert {(one["pvcName"], one["pvcNamespace"], one["volumeName"]) for one in claims} == {("orders", "shop", "disk")}
    shop.path["pod_uid"] = "uid-nobody"
    for name in ("listContainerOfAPod", "listPVCOfAPod", "listConnectionOfAPod"):
        assert shop.call(name).status_code == (200 if name == "listConnectionOfAPod" else 404), name


def test_connections_are_of_the_newest_window_or_of_the_one_that_is_named(running: Running, shop: Caller) -> None:
    """An older window by its start; a page where one is asked for."""
    later = {"start": "2026-11-24T10:16:00.000000Z", "end": "2026-11-24T10:17:00.000000Z"}
    body = {**NODE_A, "window": later, "connectionList": NODE_A["connectionList"][:1]}
    assert running.push(body, "later", Authorization=f"Token {token_of(shop)}").status_code == 201
    assert len(shop.good("listConnection")["items"]) == 1
    older = "2026-11-24T10:15:00Z"
    assert len(shop.good("listConnection", window=older)["items"]) == 5
    assert len(shop.good("listConnection", window=older, limit="2")["items"]) == 2
    edges = {
        window: {
            (one["sourceName"], one["destinationName"])
            for one in shop.good("listDiscoveredServiceConnection", **({"window": window} if window else {}))["items"]
        }
        for window in ("", older)
    }
    assert ("cart", "db") in edges[older] - edges[""]
    assert ("frontend", "cart") in edges[""]
