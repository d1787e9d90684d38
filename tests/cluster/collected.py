"""What the collector makes of a real API server behind a proxy that has a fault."""

from pathlib import Path
from typing import Any

from cluster_api.client import ApiClient
from collector.app import inventory_of, window_now
from collector.inventory.inventory import Inventory
from collector.k8s.list_deadline import ListLimits
from directory.selection import Selection
from podsonar.json_gzip import unpack
from podsonar.settings import CollectorSettings
from tests.cluster.conftest import Crowd
from tests.cluster.fault_proxy import Fault, FaultProxy, serving

SETTINGS = CollectorSettings()
PODS_PATH = "/api/v1/pods"


class Collected:
    """An inventory through a proxy with a fault."""

    def __init__(self, crowd: Crowd, folder: Path, fault: Fault, run: ListLimits | None = None) -> None:
        self.crowd, self.folder, self.fault = crowd, folder, fault
        self.waits: list[float] = []
        self.run = run or ListLimits(self.waits.append)
        self.proxy = FaultProxy(crowd.plane, crowd.kubeconfig, fault)

    def inventory(self, url: str, token_file: Path | None = None) -> Inventory:
        """The inventory, not listed yet."""
        kubeconfig = self.proxy.write_kubeconfig(self.folder / "proxy.kubeconfig", url, token_file)
        api = ApiClient.connect(kubeconfig)
        return inventory_of(api, SETTINGS, window_now(SETTINGS), Selection.of(SETTINGS), self.run)

    def parts(self, token_file: Path | None = None) -> list[dict[str, Any]]:
        """Its bodies."""
        with serving(self.proxy) as url:
            return [unpack(payload) for payload in self.inventory(url, token_file).bodies(self.folder)]


def pods(parts: list[dict[str, Any]]) -> list[str]:
    """UIDs of the pods that came."""
    return [pod["metadata"]["uid"] for part in parts for pod in part["podList"]]
