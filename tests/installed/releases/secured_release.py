"""A second release whose manager serves https with certificates of an authority that no image knows."""

import base64
import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lab.controlplane.certificates import Authority, Pair
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.installed import install
from tests.installed import disturbances

NAMESPACE = RELEASE = "secured"
MANAGER = f"{RELEASE}-podsonar-manager"
CERTIFICATE, AUTHORITY = "manager-certificate", "manager-authority"
PARTS = ("collector", "node-agent")  # what pushes
SECONDS = 30  # of a window
Object = dict[str, Any]


def values() -> Object:
    """Values as of any release of the lab, and the two Secrets."""
    found = install.values()
    served = {"tls": {"secretName": CERTIFICATE}, "caSecret": {"name": AUTHORITY}}
    return found | {
        "data": found["data"] | install.window_values(SECONDS)["data"],
        "manager": found["manager"] | served,
    }


@dataclass(frozen=True)
class SecuredRelease:
    """The release, and the folder of what was signed for it."""

    cluster: RealCluster
    folder: Path

    def authority(self, name: str) -> Authority:
        """A new authority."""
        folder = self.folder / name
        folder.mkdir()
        return Authority(folder, dt.datetime.now(dt.UTC))

    def certificate(self, authority: Authority, name: str) -> Pair:
        """A certificate for the Service and for the node by which this machine reaches it."""
        address = ipaddress.ip_address(self.cluster.layout.nodes[0].address)
        names: list[x509.GeneralName] = [x509.DNSName(f"{MANAGER}.{NAMESPACE}.svc"), x509.IPAddress(address)]
        return authority.pair(name, ExtendedKeyUsageOID.SERVER_AUTH, alternatives=names)

    def put_secret(self, name: str, files: Mapping[str, Path]) -> None:
        """Create a Secret of files, or replace what it holds."""
        data = {key: base64.b64encode(path.read_bytes()).decode() for key, path in files.items()}
        metadata = {"name": name, "namespace": NAMESPACE}
        self.cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}])

    def serve(self, pair: Pair) -> None:
        """Give the manager a certificate."""
        self.put_secret(CERTIFICATE, {"tls.crt": pair.certificate, "tls.key": pair.key})

    def trust(self, authority: Authority) -> None:
        """Give the agents an authority."""
        self.put_secret(AUTHORITY, {"ca.crt": authority.file})

    def install(self) -> None:
        """Install the chart; every pod is ready afterwards, and the manager can be reached."""
        file = self.folder / "values.json"
        file.write_bytes(orjson.dumps(values()))
        words = ("--namespace", NAMESPACE, "-f", str(file), "--wait", f"--timeout={install.INSTALL_SECONDS}s")
        install.helm(self.cluster, "install", RELEASE, str(install.CHART), *words)
        install.wait_node_port(self.cluster, NAMESPACE, MANAGER)

    def uninstall(self) -> None:
        """Take it away with its namespace."""
        install.helm(self.cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
        self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")

    def pods(self, *components: str) -> list[Object]:
        """The pods of some components."""
        chosen = f"app.kubernetes.io/component in ({','.join(components)})"
        items: list[Object] = self.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector=chosen)["items"]
        return items

    def metric(self, name: str) -> dict[str, float]:
        """A metric of everything that pushes, by pod."""
        return {pod["metadata"]["name"]: disturbances.metrics(pod)[name] for pod in self.pods(*PARTS)}

    def log_lines(self, pod: str, event: str) -> list[Object]:
        """The lines of an event in the log of a pod."""
        said = self.cluster.kubectl("-n", NAMESPACE, "logs", pod).splitlines()
        lines: list[Object] = [orjson.loads(line) for line in said if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    @property
    def address(self) -> tuple[str, int]:
        """Where this machine reaches the manager."""
        return install.node_port(self.cluster, NAMESPACE, MANAGER)

    def served(self) -> bytes:
        """The certificate that the manager presents now, in DER."""
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(self.address, timeout=30))

    def reader(self, authority: Authority) -> httpx.Client:
        """A client that verifies the manager by an authority, with the release's read key."""
        secret = self.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}-podsonar-read-key")
        key = base64.b64decode(secret["data"]["read-key"]).decode()
        host, port = self.address
        trust = ssl.create_default_context(cafile=str(authority.file))
        headers = {"X-API-Key": key}
        return httpx.Client(
            base_url=f"https://{host}:{port}", verify=trust, headers=headers, timeout=30, trust_env=False
        )

    def spooled(self) -> set[tuple[str, str]]:
        """Window and node of every batch of connections that an agent has made, as their logs say."""
        return {
            (line["window"], pod["spec"]["nodeName"])
            for pod in self.pods("node-agent")
            for line in self.log_lines(pod["metadata"]["name"], "window_spooled")
        }

    def stored(self, reader: httpx.Client, windows: Iterable[str]) -> set[tuple[str, str]]:
        """Those of some windows that are on the manager's map."""
        found = set()
        for window in windows:
            answer = reader.get("/api/v1/agents/lab/map", params={"window": window})
            found |= {(window, node) for node in answer.json()["observation"]} if answer.is_success else set()
        return found


def in_der(pair: Pair) -> bytes:
    """A certificate as it is presented."""
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())
