"""The control plane is a real API server: it stores, enforces RBAC, and leaves nothing behind."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from cluster_api.client import ApiClient
from lab.controlplane import binaries
from lab.controlplane.programs import PROGRAMS
from lab.controlplane.server import ControlPlane
from lab.controlplane.toolchain import build_environ
from podsonar.errors import ApiServerError
from tests.cluster.rights import wait_until_listed

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


def pod(name: str, address: str = "10.244.0.7", labels: dict[str, str] | None = None) -> dict[str, Any]:
    """A running pod with one address."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": "of-another-cluster", "labels": labels or {}},
        "spec": {"nodeName": "node-a", "containers": [{"name": "main", "image": "pause"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def ask(plane: ControlPlane, kubeconfig: Path, path: str) -> httpx.Response:
    """The server's answer to the kubeconfig's token."""
    token = orjson.loads(kubeconfig.read_bytes())["users"][0]["user"]["token"]
    context = ssl.create_default_context(cafile=str(plane.ca_file))
    return httpx.get(
        plane.url + path, verify=context, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False
    )


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for this file, with the namespace `shop`."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane")) as running:
        running.apply([NAMESPACE])
        yield running


@pytest.mark.cluster
def test_pod_with_status_is_listed_with_its_addresses(plane: ControlPlane) -> None:
    """A pod is created with the address and phase that a kubelet would have written, and the server's own uid."""
    (stored,) = plane.apply([pod("cart")])
    listed = plane.client.get("/api/v1/namespaces/shop/pods", params={"fieldSelector": "metadata.name=cart"}).json()
    (found,) = listed["items"]
    assert found["status"]["podIPs"] == [{"ip": "10.244.0.7"}]
    assert found["status"]["phase"] == "Running"
    assert found["metadata"]["uid"] == stored["metadata"]["uid"] != "of-another-cluster"


@pytest.mark.cluster
def test_object_applied_again_is_replaced(plane: ControlPlane) -> None:
    """A second apply keeps the uid, drops labels that it does not name, and sets the new status."""
    (before,) = plane.apply([pod("again", "10.244.0.8", {"old": "1", "kept": "1"})])
    (after,) = plane.apply([pod("again", "10.244.0.9", {"kept": "2"})])
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"] == {"kept": "2"}
    assert after["status"]["podIPs"] == [{"ip": "10.244.0.9"}]


@pytest.mark.cluster
def test_node_gets_its_addresses(plane: ControlPlane) -> None:
    """A node's status is set through the status subresource."""
    addresses = [{"type": "InternalIP", "address": "192.0.2.1"}, {"type": "Hostname", "address": "node-a"}]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}, "status": {"addresses": addresses}}
    assert plane.apply([node])[0]["status"]["addresses"] == addresses


@pytest.mark.cluster
def test_dual_stack_service_gets_the_cluster_addresses_it_asks_for(plane: ControlPlane) -> None:
    """Both ranges are served: a service keeps its IPv4 and its IPv6 ClusterIP."""
    addresses = ["10.96.0.77", "fd00:96::77"]
    spec = {"ipFamilyPolicy": "RequireDualStack", "clusterIP": addresses[0], "clusterIPs": addresses}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "cart", "namespace": "shop"},
        "spec": {**spec, "ports": [{"port": 80}]},
    }
    assert plane.apply([service])[0]["spec"]["clusterIPs"] == addresses


@pytest.mark.cluster
def test_service_account_may_do_only_what_rbac_binds(plane: ControlPlane) -> None:
    """A bound account lists what its role names and is refused the rest."""
    group = "rbac.authorization.k8s.io"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader", "namespace": "shop"}}
    role = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    }
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "shop"}],
    }
    plane.apply([account, role, binding])
    kubeconfig = plane.kubeconfig_for("shop", "reader")
    wait_until_listed(ApiClient.connect(kubeconfig), "/api/v1/pods")
    assert ask(plane, kubeconfig, "/api/v1/pods").status_code == 200
    assert ask(plane, kubeconfig, "/api/v1/services").status_code == 403


@pytest.mark.cluster
def test_deleted_objects_are_gone_at_once(plane: ControlPlane) -> None:
    """Neither a pod's grace period nor a namespace's finalizer keeps an object when no controllers run."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brief"}}
    plane.apply([namespace, pod("brief")])
    plane.delete(pod("brief"))
    plane.delete(namespace)
    assert plane.client.get("/api/v1/namespaces/shop/pods/brief").status_code == 404
    assert plane.client.get("/api/v1/namespaces/brief").status_code == 404


@pytest.mark.cluster
def test_refused_object_raises_with_the_servers_message(plane: ControlPlane) -> None:
    """A refused object raises and is never lost in the thread pool."""
    bad = pod("bad")
    bad["spec"]["containers"] = []
    with pytest.raises(ApiServerError, match=r"pods/bad: 422.*spec\.containers"):
        plane.apply([bad])


@pytest.mark.cluster
def test_after_the_block_no_process_is_left(tmp_path: Path) -> None:
    """Both programs run inside the block and neither is left after it, not even as a zombie."""
    with ControlPlane(tmp_path) as running:
        pids = running.pids
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.cluster
@pytest.mark.parametrize("version", binaries.VERSIONS)
def test_every_version_serves_the_kinds_that_are_collected(version: str, tmp_path: Path) -> None:
    """The API server has the requested release, and stores a namespace and a pod."""
    with ControlPlane(tmp_path, version=version) as running:
        assert running.client.get("/version").json()["gitVersion"] == version
        stored = running.apply([NAMESPACE, pod("cart")])
    assert [item["kind"] for item in stored] == ["Namespace", "Pod"]


def test_unknown_version_raises_with_the_known_ones(tmp_path: Path) -> None:
    """A release that no module pins raises with the pinned ones, before anything is built."""
    with pytest.raises(ApiServerError, match=r"'v1\.2\.3' is not known, expected one of v1\.34\.\d+, v1\.37\.\d+"):
        binaries.find_or_build(("etcd",), version="v1.2.3")


@pytest.mark.parametrize("version", binaries.VERSIONS)
def test_programs_of_one_build_are_named_by_their_packages(version: str) -> None:
    """Go names each of several programs by the last part of its package, which must be the program's name."""
    every = PROGRAMS[version]
    modules = [item.module for item in every.values()]
    together = {name: item for name, item in every.items() if modules.count(item.module) > 1}
    assert {name: Path(item.package).name for name, item in together.items()} == {name: name for name in together}


def test_build_sees_one_toolchain_and_keeps_what_its_user_chose() -> None:
    """GOROOT and a workspace of another toolchain are dropped; the user's own memory limit is kept."""
    seen = build_environ({"GOROOT": "/elsewhere", "GOWORK": "/elsewhere/go.work", "GOMEMLIMIT": "512MiB"})
    assert "GOROOT" not in seen
    assert seen["GOWORK"] == "off"
    assert seen["GOMEMLIMIT"] == "512MiB"


def test_assets_folder_stands_for_the_default_version_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS does not state its release: it is used for the default version alone."""
    (tmp_path / "kube-apiserver").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert binaries.find(("kube-apiserver",)) == {"kube-apiserver": tmp_path / "kube-apiserver"}
    assert binaries.find(("kube-apiserver",), version=binaries.NEWEST) is None


def test_assets_folder_with_every_program_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS is used if it has every requested program, and ignored if one is missing."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert binaries.find(("etcd",)) == {"etcd": assets / "etcd"}
    assert binaries.find(("etcd", "kubectl")) is None
