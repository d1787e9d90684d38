"""What a collector lists with fewer rights or with a selector, as a real API server judges both."""

from pathlib import Path

import pytest

from cluster_api.client import ApiClient
from collector.app import checked_selection, inventory_of, window_now
from directory.selection import Selection
from podsonar.errors import SettingsError
from podsonar.json_gzip import unpack
from podsonar.settings import CollectorSettings, Data, Kubernetes
from tests.cluster.conftest import Crowd
from tests.cluster.rights import wait_until_listed

pytestmark = pytest.mark.cluster


def test_role_with_fewer_rights_and_in_a_namespace(crowd: Crowd, tmp_path: Path) -> None:
    """With a Role in one namespace alone, what it names is complete and nodes and namespaces are skipped."""
    namespace, group = "team-0003", "rbac.authorization.k8s.io"
    rules = [{**rule, "resources": list(rule["resources"])} for rule in crowd.role["rules"]]
    inside = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "inside", "namespace": namespace}}
    meta = {"name": "inside", "namespace": namespace}
    crowd.plane.apply(
        [
            inside,
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "inside"},
                "subjects": [{"kind": "ServiceAccount", **meta}],
            },
        ]
    )
    settings = CollectorSettings(kubernetes=Kubernetes(namespaced=True, namespace=namespace))
    account = ApiClient.connect(crowd.plane.kubeconfig_for(namespace, "inside"))
    api = wait_until_listed(account, f"/api/v1/namespaces/{namespace}/pods")
    inventory = inventory_of(api, settings, window_now(settings), Selection.of(settings))
    parts = [unpack(payload) for payload in inventory.bodies(tmp_path)]
    found = [pod["metadata"]["namespace"] for part in parts for pod in part["podList"]]
    assert set(found) == {namespace}
    kinds = parts[0]["inventory"]["kinds"]
    assert {name for name, kind in kinds.items() if not kind["complete"]} == {"Namespace", "Node", "Job", "CronJob"}
    assert kinds["Node"]["reason"] == "namespaced"
    assert parts[0]["namespace"] == namespace
    elsewhere = CollectorSettings(kubernetes=Kubernetes(namespaced=True, namespace="team-0004"))
    refused = inventory_of(api, elsewhere, window_now(settings), Selection.of(settings))
    list(refused.bodies(tmp_path))
    assert refused.kinds["Pod"]["reason"] == "forbidden"


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("kubernetes.io/metadata.name=team-0002", ["team-0002"]),
        ("kubernetes.io/metadata.name in (team-0001, team-0004)", ["team-0001", "team-0004"]),
        ("kubernetes.io/metadata.name notin (default), tier=none", []),
        ("!kubernetes.io/metadata.name", []),
    ],
)
def test_namespace_selector_takes_the_whole_grammar(
    crowd: Crowd, tmp_path: Path, selector: str, selected: list[str]
) -> None:
    """The API server itself judges the selector; objects of other namespaces are not taken."""
    settings = CollectorSettings(data=Data(namespace_selector=selector))
    api = ApiClient.connect(crowd.kubeconfig)
    inventory = inventory_of(api, settings, window_now(settings), Selection.of(settings))
    parts = [unpack(payload) for payload in inventory.bodies(tmp_path)]
    assert [one["metadata"]["name"] for part in parts for one in part["namespaceList"]] == selected
    assert sorted({pod["metadata"]["namespace"] for part in parts for pod in part["podList"]}) == selected
    assert inventory.kinds["Pod"]["complete"]


def test_selector_that_the_server_does_not_take_stops_the_program(crowd: Crowd) -> None:
    """Exit by settings error, with the key and the value, before anything is listed."""
    settings = CollectorSettings(data=Data(namespace_selector="team in shop"))
    with pytest.raises(SettingsError, match=r"data.namespaceSelector is 'team in shop'"):
        checked_selection(ApiClient.connect(crowd.kubeconfig), settings)
