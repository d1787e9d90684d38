"""A control plane for the duration of a `with` block: etcd and kube-apiserver on loopback, with real RBAC.

No controllers run: nothing creates endpoints, default service accounts or replicas; a test applies the objects it
needs.
"""

import base64
import datetime as dt
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import orjson

from lab.controlplane.binaries import OLDEST, find_or_build
from lab.controlplane.certificates import Certificates, Pair, make_certificates, write_secret
from lab.controlplane.objects import Object, Objects
from lab.controlplane.ports import free_ports
from podsonar.errors import ApiServerError

SERVICE_CIDR = "10.96.0.0/16,fd00:96::/112"
READY_SECONDS = 120.0
STOP_SECONDS = 5.0
TOKEN_SECONDS = 86_400


def kubeconfig(url: str, ca_file: Path, user: dict[str, str]) -> bytes:
    """A self-contained kubeconfig (JSON, which is YAML)."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    return orjson.dumps(document)


def etcd_arguments(data: Path, client: str, peer: str) -> list[str]:
    """Arguments of a single etcd without fsync: its data need not outlive it."""
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_arguments(pki: Certificates, etcd: str, port: int, service_cidr: str, address: str) -> list[str]:
    """Arguments of kube-apiserver with real authentication and RBAC, on one address of the machine."""
    return [
        f"--etcd-servers={etcd}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        f"--client-ca-file={pki.authority}",
        f"--tls-cert-file={pki.serving.certificate}",
        f"--tls-private-key-file={pki.serving.key}",
        f"--service-account-key-file={pki.service_account_key}",
        f"--service-account-signing-key-file={pki.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
    ]


# Without controllers nothing creates the service accounts that this admission waits for, nor reads the endpoints.
WITHOUT_CONTROLLERS = ["--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount"]


def pair_user(pair: Pair) -> dict[str, str]:
    """The user of a kubeconfig that holds that certificate."""
    return {
        "client-certificate-data": base64.b64encode(pair.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(pair.key.read_bytes()).decode(),
    }


def admin_client(url: str, pki: Certificates) -> httpx.Client:
    """An HTTPS client with every right that ignores the environment's proxies."""
    context = ssl.create_default_context(cafile=str(pki.authority))
    context.load_cert_chain(pki.admin.certificate, pki.admin.key)
    named = {"User-Agent": "podsonar-lab"}  # distinguishes the lab's requests from the collector's in an audit log
    return httpx.Client(base_url=url, verify=context, timeout=30.0, trust_env=False, headers=named)


class ControlPlane:
    """etcd and kube-apiserver, ready inside the `with` block and gone after it.

    Enter it in a thread that lives as long as the block: the kernel ends both programs with the thread that started
    them, so that a killed test leaves nothing behind.
    """

    def __init__(
        self,
        folder: Path,
        service_cidr: str = SERVICE_CIDR,
        report: Callable[[str], object] = print,
        version: str = OLDEST,
    ) -> None:
        self.folder = folder
        self.version = version
        self.service_cidr = service_cidr
        self.report = report
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.programs: dict[str, Path] = {}
        self.url = ""
        self.ca_file = folder / "pki" / "ca.crt"
        self.admin_kubeconfig = folder / "admin.kubeconfig"
        self.ready_seconds = 0.0

    @property
    def pids(self) -> list[int]:
        """Process ids of the running programs."""
        return [process.pid for process in self.processes.values()]

    def __enter__(self) -> Self:
        self.programs = find_or_build(("kube-apiserver", "etcd"), self.report, version=self.version)
        self.folder.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        pki, _authority = make_certificates(self.folder / "pki", self.service_cidr, dt.datetime.now(dt.UTC))
        client_port, peer_port, secure_port = free_ports(3)
        etcd = f"http://127.0.0.1:{client_port}"
        self.url = f"https://127.0.0.1:{secure_port}"
        self.client = admin_client(self.url, pki)
        self.objects = Objects(self.client)
        try:
            self.start("etcd", etcd_arguments(self.folder / "etcd", etcd, f"http://127.0.0.1:{peer_port}"))
            arguments = apiserver_arguments(pki, etcd, secure_port, self.service_cidr, "127.0.0.1")
            self.start("kube-apiserver", [*arguments, *WITHOUT_CONTROLLERS])
            self.wait_ready(time.monotonic() + READY_SECONDS)
        except BaseException:
            self.stop()
            raise
        write_secret(self.admin_kubeconfig, kubeconfig(self.url, self.ca_file, pair_user(pki.admin)))
        self.ready_seconds = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, arguments: list[str]) -> None:
        """Start a program that ends with this process (`setpriv` execs it: the process id stays); its output goes to a
        file.
        """
        command = ["setpriv", "--pdeathsig", "KILL", "--", str(self.programs[name]), *arguments]
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env={**os.environ}
            )

    def wait_ready(self, deadline: float) -> None:
        """Return once /readyz is ok; raise ApiServerError with the name and last line of a program that ended."""
        while time.monotonic() < deadline:
            for name, process in self.processes.items():
                if process.poll() is not None:
                    lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-1:]
                    raise ApiServerError(
                        f"{name} ended with code {process.returncode}, expected it to stay: {''.join(lines)}"
                    )
            try:
                if self.client.get("/readyz").is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet; the deadline and the processes' own end bound the wait
            time.sleep(0.05)
        raise ApiServerError(f"{self.url}/readyz was not ok, expected it within {READY_SECONDS:.0f} s")

    def stop(self) -> None:
        """Stop both programs; the API server first, since it complains about a lost etcd."""
        for name in reversed(list(self.processes)):
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.close()

    def apply(self, objects: Iterable[Object]) -> list[Object]:
        """Create or replace the objects and set their status; return them as stored (with uid), in the order given."""
        return self.objects.apply(objects)

    def delete(self, body: Object) -> None:
        """Delete the object immediately."""
        self.objects.delete(body)

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a token of an existing service account, which may do what RBAC grants that account."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.objects.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token",
            headers={"Content-Type": "application/json"},
            content=orjson.dumps({**request, "spec": {"expirationSeconds": TOKEN_SECONDS}}),
        )
        path = self.folder / f"{namespace}.{service_account}.kubeconfig"
        return write_secret(path, kubeconfig(self.url, self.ca_file, {"token": answer["status"]["token"]}))
