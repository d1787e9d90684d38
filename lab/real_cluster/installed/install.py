"""Podsonar on the cluster as an operator installs it: images on the nodes, the chart by helm, the map by HTTP."""

import base64
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import yaml

from lab.controlplane.binaries import EVERY_PROGRAM, NODE_PROGRAMS, find_or_build, locked
from lab.real_cluster.addressing import Node
from lab.real_cluster.cluster import Cluster
from lab.real_cluster.images import cache_folder, checked, cluster_images, fingerprint
from podsonar.errors import ApiServerError

REPOSITORY = Path(__file__).resolve().parents[3]
CHART = REPOSITORY / "deploy" / "charts" / "podsonar"
PARTS = ("collector", "manager", "node-agent")
# What the Dockerfiles copy: another content makes other images.
SOURCES = (
    "bpf",
    "cli",
    "collector",
    "delivery",
    "directory",
    "podsonar",
    "manager",
    "node_agent",
    "deploy/images",
    "pyproject.toml",
    "requirements-build.lock",
)
KEPT = 4  # states of the sources whose images are kept: branches are worked on side by side
NAMESPACE = "podsonar"
RELEASE = "podsonar"
INSTALL_SECONDS = 180
METRICS_FROM = {"kubernetes.io/metadata.name": "monitoring"}  # who may scrape, where network policies are enforced


def source_files() -> list[Path]:
    """The files that the images are made from."""
    found = []
    for name in SOURCES:
        path = REPOSITORY / name
        found += (
            [path]
            if path.is_file()
            else [one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts]
        )
    return found


def version() -> str:
    """The chart's version of the application: the images' tag."""
    found: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return found


def prepared(report: Callable[[str], object]) -> list[Path]:
    """The archives of Podsonar's images; they and all programs of a cluster are found, or built side by side.

    Compilers keep the processors busy while an image waits for its packages and its disk.
    """
    with ThreadPoolExecutor() as pool:
        images = pool.submit(podsonar_images, report)
        find_or_build((*EVERY_PROGRAM, *NODE_PROGRAMS, "helm", "coredns"), report)
        cluster_images(report)
        return images.result()


def podsonar_images(report: Callable[[str], object]) -> list[Path]:
    """Archives of the three images; built once for each state of the sources, by one process at a time."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "podsonar.lock"):  # the store has one image of a name: what is built is pushed before the next
        key = fingerprint(source_files())
        archives = {part: folder / f"podsonar-{part}-{key}.tar" for part in PARTS}
        if not all(path.exists() for path in archives.values()):
            build_images(archives, report)
            forget(folder)
    return list(archives.values())


def build_images(archives: Mapping[str, Path], report: Callable[[str], object]) -> None:
    """Every part's archive is there, made from the sources of now."""
    report("building Podsonar's images …")
    store = storage()
    report(checked(["nice", str(REPOSITORY / "deploy" / "images" / "build.sh")], env={**os.environ, **store}).strip())
    driver, root = store["PODSONAR_IMAGE_DRIVER"], store["PODSONAR_IMAGE_ROOT"]
    buildah = ["buildah", "--storage-driver", driver, "--root", root, "--runroot", f"{root}.run"]
    for part, target in archives.items():
        image = f"localhost/podsonar-{part}:{version()}"
        made = target.with_suffix(".part")
        made.unlink(missing_ok=True)
        checked([*buildah, "push", image, f"docker-archive:{made}:{image}"])
        made.replace(target)


def forget(folder: Path) -> None:
    """Of each part the newest archives are left."""
    for part in PARTS:
        every = sorted(folder.glob(f"podsonar-{part}-*.tar"), key=lambda path: path.stat().st_mtime)
        for old in every[:-KEPT]:
            old.unlink()


def storage() -> dict[str, str]:
    """Where and how the images are built, for deploy/images/build.sh: overlay, since a node needs it anyway."""
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
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {"matchLabels": METRICS_FROM}}]},
    }


def windows(seconds: int) -> dict[str, Any]:
    """Values for windows of a part of a minute, back to back."""
    starts = ",".join(str(second) for second in range(0, 60, seconds))
    return {"data": {"collectionWindowInMin": seconds / 60, "cron": {"expression": f"{starts} * * * * *"}}}


def helm(cluster: Cluster, *arguments: str) -> str:
    """What helm says; its caches stay with the cluster."""
    program = find_or_build(["helm"], cluster.report)["helm"]
    home = {f"HELM_{name}_HOME": str(cluster.layout.folder / "helm") for name in ("CACHE", "CONFIG", "DATA")}
    environ = {**os.environ, **home, "KUBECONFIG": str(cluster.kubeconfig)}
    return checked([str(program), *arguments], env=environ)


def install(cluster: Cluster, changed: dict[str, Any] | None = None, chart: Path = CHART, *, wait: bool = True) -> None:
    """The release is installed with the lab's values and those that are `changed`, and every pod of it is ready."""
    cluster.apply([yaml.safe_load((REPOSITORY / "deploy" / "manifests" / "namespace.yaml").read_text())])
    files = []
    for name, content in (("values", values()), ("changed", changed or {})):
        file = cluster.layout.folder / f"{name}.json"
        file.write_bytes(orjson.dumps(content))
        files += ["-f", str(file)]
    waiting = ["--wait", f"--timeout={INSTALL_SECONDS}s"] if wait else []
    helm(cluster, "upgrade", "--install", RELEASE, str(chart), "--namespace", NAMESPACE, *files, *waiting)


def uninstall(cluster: Cluster) -> None:
    """The release is gone, its pods too, which helm does not wait for."""
    helm(cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    cluster.wait("no pod of it is left", lambda: not cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"], 60)


def local_volume(cluster: Cluster, node: Node, name: str) -> dict[str, Any]:
    """Values of a claim on a volume of that name: a folder of the node, which outlives the pods that use it."""
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


def volume_folder(node: Node, name: str) -> Path:
    """The folder of such a volume, as seen from the machine."""
    return node.folder / "lib" / name


def page(cluster: Cluster) -> str:
    """The address of the map, reachable from this machine."""
    service = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}-manager")
    return f"http://{cluster.layout.nodes[0].address}:{service['spec']['ports'][0]['nodePort']}"


def read_key(cluster: Cluster) -> str:
    """The key that opens the map."""
    secret = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}-tokens")
    return base64.b64decode(secret["data"]["read-key"]).decode()


def read(cluster: Cluster, path: str = "", **query: str) -> dict[str, Any] | None:
    """What the manager has below its one agent; None as long as it has nothing there, or does not answer."""
    headers = {"X-API-Key": read_key(cluster)}
    with httpx.Client(base_url=page(cluster), headers=headers, timeout=30, trust_env=False) as client:
        try:
            agents = client.get("/api/v1/agents").raise_for_status().json()["items"]
            if not agents:
                return None
            answer = client.get(f"/api/v1/agents/{agents[0]['identity']}{path}", params=query)
        except httpx.TransportError:
            return None  # it is being replaced; who waits has a limit
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


def read_map(cluster: Cluster, window: str, namespace: str = "shop") -> dict[str, Any] | None:
    """The map of a window; None as long as the manager has nothing of it."""
    return read(cluster, "/map", window=window, namespace=namespace)


def wait_for_map(cluster: Cluster, window: str, nodes: Iterable[str], seconds: float) -> dict[str, Any]:
    """The map of a window that all those nodes have reported; ApiServerError names the nodes that have not."""
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
