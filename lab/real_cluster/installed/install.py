"""Installs Podsonar on the cluster as an operator does: images on the nodes, the chart by helm, the map by HTTP."""

import base64
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from lab.controlplane.binaries import EVERY_PROGRAM, NODE_PROGRAMS, exclusive_lock, find_or_build
from lab.real_cluster.addressing import ClusterNode
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.images import cache_folder, cluster_images, fingerprint, run_checked
from podsonar.errors import ApiServerError

REPOSITORY = Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "deploy" / "charts" / "podsonar"
PARTS = ("collector", "manager", "node-agent")
# Lists what the images are built from; they are keyed by its content.
BUILD_CONTEXT = REPOSITORY / "deploy" / "images" / "Dockerfile.dockerignore"
ARCHIVES_TO_KEEP = 4  # source states whose images stay: several branches are in use at once
NAMESPACE = "podsonar"
RELEASE = "podsonar"
INSTALL_SECONDS = 180
METRICS_FROM = {"kubernetes.io/metadata.name": "monitoring"}  # who may scrape, where network policies are enforced


def source_files() -> list[Path]:
    """The files that the images are built from."""
    found = []
    names = [line[1:] for line in BUILD_CONTEXT.read_text().splitlines() if line.startswith("!")]
    for name in names:
        path = REPOSITORY / name
        found += (
            [path]
            if path.is_file()
            else [path for path in path.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        )
    return found


def version() -> str:
    """The chart's application version, which is the images' tag."""
    found: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return found


def prepare_images(report: Callable[[str], object]) -> list[Path]:
    """The archives of Podsonar's images; finds or builds them and all programs of a cluster side by side.

    Compilers keep the processors busy while an image waits for its packages and its disk.
    """
    with ThreadPoolExecutor() as pool:
        images = pool.submit(podsonar_images, report)
        find_or_build((*EVERY_PROGRAM, *NODE_PROGRAMS, "helm", "coredns"), report)
        cluster_images(report)
        return images.result()


def podsonar_images(report: Callable[[str], object]) -> list[Path]:
    """The archives of the three images; built once per state of the sources, by one process at a time."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(
        folder / "podsonar.lock"
    ):  # the store has one image per name: each is pushed before the next build
        key = fingerprint(source_files())
        archives = {part: folder / f"podsonar-{part}-{key}.tar" for part in PARTS}
        if not all(path.exists() for path in archives.values()):
            build_images(archives, report)
            remove_old_archives(folder)
    return list(archives.values())


def build_images(archives: Mapping[str, Path], report: Callable[[str], object]) -> None:
    """Build every part's archive from the current sources."""
    report("building Podsonar's images …")
    store = image_storage()
    report(
        run_checked(["nice", str(REPOSITORY / "deploy" / "images" / "build.sh")], env={**os.environ, **store}).strip()
    )
    driver, root = store["PODSONAR_IMAGE_DRIVER"], store["PODSONAR_IMAGE_ROOT"]
    buildah = ["buildah", "--storage-driver", driver, "--root", root, "--runroot", f"{root}.run"]
    for part, target in archives.items():
        image = f"localhost/podsonar-{part}:{version()}"
        unfinished = target.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        run_checked([*buildah, "push", image, f"docker-archive:{unfinished}:{image}"])
        unfinished.replace(target)


def remove_old_archives(folder: Path) -> None:
    """Delete all but the newest archives of each part."""
    for part in PARTS:
        archives = sorted(folder.glob(f"podsonar-{part}-*.tar"), key=lambda path: path.stat().st_mtime)
        for old in archives[:-ARCHIVES_TO_KEEP]:
            old.unlink()


def image_storage() -> dict[str, str]:
    """Driver and folder of the image build, for deploy/images/build.sh: overlay, which a node needs anyway."""
    usual = {"PODSONAR_IMAGE_DRIVER": "overlay", "PODSONAR_IMAGE_ROOT": str(cache_folder() / "storage")}
    return usual | {name: os.environ[name] for name in usual if os.environ.get(name)}


def values() -> dict[str, Any]:
    """Values for a cluster without storage classes: one-minute windows, back to back, and the page on a node port."""
    return {
        "data": {
            "collectionWindowInMin": 1,
            "cron": {"expression": "* * * * *"},
            "enableBatchResources": True,
            "enableOrphanedPod": True,
        },
        "kubernetes": {"imagePullPolicy": "Never"},
        "manager": {"persistence": {"enabled": False}, "agentName": "lab", "service": {"type": "NodePort"}},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {"matchLabels": METRICS_FROM}}],
            "managerFrom": [{"ipBlock": {"cidr": "0.0.0.0/0"}}],
        },
    }


def window_values(seconds: int) -> dict[str, Any]:
    """Values for windows of that many seconds (a part of a minute), back to back."""
    starts = ",".join(str(second) for second in range(0, 60, seconds))
    return {"data": {"collectionWindowInMin": seconds / 60, "cron": {"expression": f"{starts} * * * * *"}}}


def helm(cluster: RealCluster, *arguments: str) -> str:
    """Run helm and return its output; its caches stay with the cluster."""
    program = find_or_build(["helm"], cluster.report)["helm"]
    home = {f"HELM_{name}_HOME": str(cluster.layout.folder / "helm") for name in ("CACHE", "CONFIG", "DATA")}
    environ = {**os.environ, **home, "KUBECONFIG": str(cluster.kubeconfig)}
    return run_checked([str(program), *arguments], env=environ)


def install(
    cluster: RealCluster, changed: dict[str, Any] | None = None, chart: Path = CHART, *, wait: bool = True
) -> None:
    """Install the release with the lab's values and those of `changed`; with `wait`, until the map can be reached."""
    cluster.apply([yaml.safe_load((REPOSITORY / "deploy" / "manifests" / "namespace.yaml").read_text())])
    files = []
    for name, content in (("values", values()), ("changed", changed or {})):
        file = cluster.layout.folder / f"{name}.json"
        file.write_bytes(orjson.dumps(content))
        files += ["-f", str(file)]
    waiting = ["--wait", f"--timeout={INSTALL_SECONDS}s"] if wait else []
    helm(cluster, "upgrade", "--install", RELEASE, str(chart), "--namespace", NAMESPACE, *files, *waiting)
    if wait:
        wait_node_port(cluster, NAMESPACE, f"{RELEASE}-manager")


def uninstall(cluster: RealCluster) -> None:
    """Uninstall the release and wait until its pods are gone, which helm does not."""
    helm(cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    cluster.wait("no pod of it is left", lambda: not cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"], 60)


def local_volume(cluster: RealCluster, node: ClusterNode, name: str) -> dict[str, Any]:
    """Values of a claim on a volume of that name: a folder of the node that outlives the pods."""
    folder = volume_folder(node, name)
    folder.mkdir(exist_ok=True)
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": name,
        "local": {"path": f"/var/lib/{name}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    cluster.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}])
    return {"enabled": True, "storageClassName": name, "size": "1Gi"}


def volume_folder(node: ClusterNode, name: str) -> Path:
    """The folder of such a volume, as seen from the machine."""
    return node.folder / "lib" / name


def node_port(cluster: RealCluster, namespace: str, name: str) -> tuple[str, int]:
    """The address and port by which this machine reaches a Service."""
    service = cluster.get(f"/api/v1/namespaces/{namespace}/services/{name}")
    return cluster.layout.nodes[0].address, service["spec"]["ports"][0]["nodePort"]


def wait_node_port(cluster: RealCluster, namespace: str, name: str) -> None:
    """Return once the node leads to a pod of the Service, which kube-proxy does a moment after the pod is ready."""
    address = node_port(cluster, namespace, name)
    cluster.wait(f"the node port of {name} leads to a pod", lambda: accepts(address), 60)


def accepts(address: tuple[str, int]) -> bool:
    """Whether a connection can be made."""
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


def map_url(cluster: RealCluster) -> str:
    """The URL of the map, reachable from this machine."""
    return "http://{}:{}".format(*node_port(cluster, NAMESPACE, f"{RELEASE}-manager"))


def read_key(cluster: RealCluster) -> str:
    """The API key that opens the map."""
    secret = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}-read-key")
    return base64.b64decode(secret["data"]["read-key"]).decode()


def read_agent(cluster: RealCluster, path: str = "", **query: str) -> dict[str, Any] | None:
    """The manager's document below its one agent; None while it has none there or does not answer."""
    headers = {"X-API-Key": read_key(cluster)}
    with httpx.Client(base_url=map_url(cluster), headers=headers, timeout=30, trust_env=False) as client:
        try:
            agents = client.get("/api/v1/agents").raise_for_status().json()["items"]
            if not agents:
                return None
            answer = client.get(f"/api/v1/agents/{agents[0]['identity']}{path}", params=query)
        except httpx.TransportError:
            return None  # it is being replaced; the caller's wait has a limit
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


def read_map(cluster: RealCluster, window: str, namespace: str = "shop") -> dict[str, Any] | None:
    """The map of a window; None while the manager has nothing of it."""
    return read_agent(cluster, "/map", window=window, namespace=namespace)


def wait_for_map(cluster: RealCluster, window: str, nodes: Iterable[str], seconds: float) -> dict[str, Any]:
    """The map of a window once all those nodes have reported; raises ApiServerError with the nodes that have not."""
    wanted, deadline = set(nodes), time.monotonic() + seconds
    seen: set[str] = set()
    while time.monotonic() < deadline:
        found = read_map(cluster, window)
        seen = set(found["observation"]) if found else set()
        if found and wanted <= seen:
            return found
        time.sleep(1)
    raise ApiServerError(
        f"window {window}: {sorted(wanted - seen)} have not reported, expected it within {seconds:.0f} s"
    )
