"""Starts a cluster, and takes it down without a trace."""

import datetime as dt
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson

from lab.controlplane.binaries import EVERY_PROGRAM, NODE_PROGRAMS, find_or_build
from lab.controlplane.certificates import Authority, Certificates, Pair, make_certificates, write_secret
from lab.controlplane.objects import Object, Objects
from lab.controlplane.ports import free_ports
from lab.controlplane.server import admin_client, apiserver_arguments, etcd_arguments, kubeconfig, pair_user
from lab.real_cluster import addons, audit, daemon_configs, images, node_network, sysctls
from lab.real_cluster.addressing import OUTSIDE_PORT, ClusterNode, Layout
from lab.real_cluster.daemons import Daemons, make_cgroups
from lab.simulated import cgroups
from podsonar.errors import ApiServerError

READY_SECONDS = 120.0
DEBIAN = ("containerd", "ctr", "runc", "buildah", "ip", "nft", "iptables", "nsenter", "unshare")


def missing_programs() -> list[str]:
    """Programs of Debian's packages that are missing on this machine (`deploy/setup.sh cluster` installs them)."""
    absent = [name for name in DEBIAN if shutil.which(name) is None]
    return absent if Path(daemon_configs.PLUGINS, "bridge").exists() else [*absent, f"{daemon_configs.PLUGINS}/bridge"]


class RealCluster:
    """A running cluster, and the programs that talk to it."""

    def __init__(self, layout: Layout, report: Callable[[str], object]) -> None:
        self.layout = layout
        self.report = report
        self.daemons = Daemons(layout)
        self.programs = find_or_build((*EVERY_PROGRAM, *NODE_PROGRAMS), report)
        self.folder = layout.folder / "controlplane"
        self.kubeconfig = layout.folder / "admin.kubeconfig"
        self.seconds: dict[str, float] = {}
        self.step_started = time.monotonic()
        self.resources = ExitStack()
        self.background = self.resources.enter_context(ThreadPoolExecutor(1))
        self.loading: Future[None] | None = None

    def close(self) -> None:
        """Close the connections to the API server; the cluster keeps running."""
        self.resources.close()

    def finish_step(self, step: str) -> None:
        """Record and report the duration of the step."""
        now = time.monotonic()
        self.seconds[step] = now - self.step_started
        self.step_started = now
        self.report(f"{step}: {self.seconds[step]:.1f} s")

    def connect_api(self, url: str, pki: Certificates) -> None:
        """Send requests to the API server at that address, with every right."""
        self.url = url
        self.client = self.resources.enter_context(admin_client(url, pki))
        self.objects = Objects(self.client)

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Return once the condition holds; raise ApiServerError that names it after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            self.daemons.check()
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass  # not listening yet; the deadline and the daemons' own end bound the wait
            if time.monotonic() > deadline:
                raise ApiServerError(
                    f"{what}: not so, expected it within {seconds:.0f} s; logs are in {self.daemons.log('')}"
                )
            time.sleep(0.1)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The object or list at the path."""
        return self.objects.request("GET", path, params=query)

    def apply(self, bodies: Iterable[Object]) -> list[Object]:
        """Apply the objects and return them as stored."""
        return self.objects.apply(bodies)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as administrator and return its output."""
        cache = f"--cache-dir={self.layout.folder / 'kubectl'}"  # the default would leave it in the home folder
        return images.run_checked([str(self.programs["kubectl"]), f"--kubeconfig={self.kubeconfig}", cache, *arguments])

    def namespace_pids(self) -> list[int]:
        """The processes that hold the nodes' namespaces."""
        pids = [self.daemons.pid(node.name) for node in self.layout.nodes]
        return [pid for pid in pids if pid is not None]

    def load(self, archives: Iterable[Path]) -> None:
        """Import the images of the archives into every node."""
        images.load(archives, self.namespace_pids())

    def wait_loaded(self) -> None:
        """Wait until the images that load in the background are there."""
        if self.loading is not None:
            self.loading.result()


def start_control_plane(cluster: RealCluster) -> Authority:
    """Start etcd and the API server; return the authority that signs the nodes' certificates."""
    layout, daemons = cluster.layout, cluster.daemons
    now = dt.datetime.now(dt.UTC)
    pki, authority = make_certificates(cluster.folder, layout.service_range, now, [layout.address])
    client_port, peer_port = free_ports(2)
    (secure_port,) = free_ports(1, layout.address)
    etcd = f"http://127.0.0.1:{client_port}"
    data = etcd_arguments(cluster.folder / "etcd", etcd, f"http://127.0.0.1:{peer_port}")
    daemons.start("etcd", [str(cluster.programs["etcd"]), *data])
    arguments = [
        *apiserver_arguments(pki, etcd, secure_port, layout.service_range, layout.address),
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki.admin.certificate}",
        f"--kubelet-client-key={pki.admin.key}",
        "--kubelet-preferred-address-types=InternalIP",
        *audit.audit_arguments(cluster.folder, daemons.log("audit")),
    ]
    daemons.start("kube-apiserver", [str(cluster.programs["kube-apiserver"]), *arguments])
    cluster.connect_api(f"https://{layout.address}:{secure_port}", pki)
    write_secret(cluster.kubeconfig, kubeconfig(cluster.url, pki.authority, pair_user(pki.admin)))
    return authority


def start_controllers(cluster: RealCluster) -> None:
    """Start controller manager and scheduler, as administrator."""
    manager_port, scheduler_port = free_ports(2)
    shared = [f"--kubeconfig={cluster.kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"]
    controllers = [
        *shared,
        f"--secure-port={manager_port}",
        f"--service-account-private-key-file={cluster.folder / 'service-account.key'}",
        f"--root-ca-file={cluster.folder / 'ca.crt'}",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={cluster.layout.pod_range}",
    ]
    cluster.daemons.start("kube-controller-manager", [str(cluster.programs["kube-controller-manager"]), *controllers])
    scheduler = [*shared, f"--secure-port={scheduler_port}"]
    cluster.daemons.start("kube-scheduler", [str(cluster.programs["kube-scheduler"]), *scheduler])


def write_cni_config(layout: Layout, node: ClusterNode, only_address: str | None = None) -> None:
    """Write the node's CNI configuration, by the layout or with that address alone; running pods keep their network."""
    folder = node.settings / "cni"
    folder.mkdir(exist_ok=True)
    unfinished = folder / "pods.new"
    unfinished.write_bytes(orjson.dumps(daemon_configs.network(layout, node, only_address)))
    unfinished.replace(folder / "10-pods.conflist")


def configure(layout: Layout, node: ClusterNode) -> None:
    """Write the settings that containerd and its network plugins read."""
    write_cni_config(layout, node)
    lower = daemon_configs.may_lower_oom_score(Path("/proc/self/status").read_text())
    (node.settings / "containerd.toml").write_text(daemon_configs.containerd(lower_oom_score=lower))
    (node.settings / "resolv.conf").write_text("options ndots:5\n")  # no DNS beyond the cluster's


def write_user_kubeconfig(cluster: RealCluster, path: Path, pair: Pair) -> None:
    """Write a kubeconfig of that user."""
    write_secret(path, kubeconfig(cluster.url, cluster.folder / "ca.crt", pair_user(pair)))


def start_runtime(cluster: RealCluster, node: ClusterNode) -> None:
    """Start the node's containerd and wait until it answers."""
    configure(cluster.layout, node)
    pid = cluster.daemons.pid(node.name)
    command = ["containerd", "--config", "/run/node/containerd.toml", "--log-level", "warn"]
    cluster.daemons.start(f"containerd-{node.letter}", command, inside=pid)
    enter = ["nsenter", "--target", str(pid), "--mount", "--net", "--"]

    def answers() -> bool:
        version = subprocess.run([*enter, "ctr", "version"], capture_output=True, check=False)
        return version.returncode == 0

    cluster.wait(f"containerd of {node.name} answers", answers)


def start_node(cluster: RealCluster, authority: Authority, node: ClusterNode) -> None:
    """Start kubelet and kube-proxy of the node, each as its own user."""
    layout = cluster.layout
    shutil.copy(cluster.folder / "ca.crt", node.settings / "ca.crt")
    kubelet = authority.client(f"system:node:{node.name}", "system:nodes")
    write_user_kubeconfig(cluster, node.settings / "kubelet.kubeconfig", kubelet)
    write_user_kubeconfig(cluster, node.settings / "kube-proxy.kubeconfig", authority.client("system:kube-proxy"))
    (node.settings / "kubelet.json").write_bytes(orjson.dumps(daemon_configs.kubelet(layout, node)))
    (node.settings / "kube-proxy.json").write_bytes(orjson.dumps(daemon_configs.kube_proxy(layout, node)))
    pid = cluster.daemons.pid(node.name)
    arguments = [
        "--config=/run/node/kubelet.json",
        "--kubeconfig=/run/node/kubelet.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        "--root-dir=/var/lib/kubelet",
        "--cert-dir=/var/lib/kubelet/pki",
    ]
    cluster.daemons.start(f"kubelet-{node.letter}", [str(cluster.programs["kubelet"]), *arguments], inside=pid)
    proxy = [str(cluster.programs["kube-proxy"]), "--config=/run/node/kube-proxy.json"]
    cluster.daemons.start(f"kube-proxy-{node.letter}", proxy, inside=pid)


def ready_nodes(cluster: RealCluster) -> int:
    """The number of nodes that are Ready."""
    conditions = [node_object["status"].get("conditions", []) for node_object in cluster.get("/api/v1/nodes")["items"]]
    return sum(
        any(c["type"] == "Ready" and c["status"] == "True" for c in node_conditions) for node_conditions in conditions
    )


def bring_up(cluster: RealCluster, archives: Iterable[Path], later: Iterable[Path]) -> None:
    """Start everything and wait until every node is Ready; the images of `later` may still be loading."""
    layout = cluster.layout
    make_cgroups(layout)
    pids = {node.name: node_network.start_holder(cluster.daemons, node) for node in layout.nodes}
    node_network.connect_nodes(layout, pids)
    outside = [sys.executable, "-m", "http.server", str(OUTSIDE_PORT), "--bind", layout.outside]
    cluster.daemons.start("outside", outside)
    cluster.finish_step("nodes' namespaces and links")
    authority = start_control_plane(cluster)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: start_runtime(cluster, node), layout.nodes))
        loading = pool.submit(cluster.load, list(archives))
        cluster.loading = cluster.background.submit(cluster.load, list(later))
        cluster.wait("the API server is ready", lambda: cluster.client.get("/readyz").is_success)
        cluster.finish_step("API server and containerd")
        cluster.apply(addons.node_objects(layout))
        start_controllers(cluster)
        for node in layout.nodes:
            start_node(cluster, authority, node)
        loading.result()
    cluster.apply(addons.dns_objects(layout))
    cluster.wait("every node is Ready", lambda: ready_nodes(cluster) == layout.size)
    cluster.finish_step("nodes Ready")


def up(layout: Layout, report: Callable[[str], object] = print, later: Iterable[Path] = ()) -> RealCluster:
    """Start a cluster; raise ApiServerError if one of that name exists. A partial start is taken down again.

    `later`: archives of images that are loaded in the background (`wait_loaded` waits for them).
    """
    absent = missing_programs()
    if absent:
        raise ApiServerError(f"{', '.join(absent)} not found, expected what `deploy/setup.sh cluster` installs")
    if layout.folder.exists():
        raise ApiServerError(
            f"{layout.folder} exists, expected no cluster of that name (`make cluster-down` removes it)"
        )
    cluster = RealCluster(layout, report)
    archives = images.cluster_images(report)
    cluster.finish_step("programs and images found or built")
    layout.folder.mkdir(mode=0o711)
    sysctls.save(layout.folder / "sysctls.json")
    try:
        bring_up(cluster, archives, later)
    except BaseException:
        save_logs(layout, report)
        down(layout, cluster)
        raise
    return cluster


def save_logs(layout: Layout, report: Callable[[str], object]) -> None:
    """Copy the daemons' logs out of a cluster that did not start."""
    saved = Path("/tmp") / f"{layout.name}-logs"  # noqa: S108 - for a human to read and remove
    shutil.rmtree(saved, ignore_errors=True)
    shutil.copytree(layout.folder / "log", saved)
    report(f"logs are kept in {saved}")


def down(layout: Layout, cluster: RealCluster | None = None) -> None:
    """Remove everything of the cluster: processes, namespaces with their mounts, links, cgroups, settings, files.

    `cluster`: the one that this process started, so that no zombie and no open connection of it stays either.
    """
    if cluster is not None:
        cluster.close()
    (cluster.daemons if cluster else Daemons(layout)).kill()
    node_network.remove_links(layout)
    cgroups.remove(layout.name)
    sysctls.restore(layout.folder / "sysctls.json")
    if layout.folder.exists():
        shutil.rmtree(layout.folder)
