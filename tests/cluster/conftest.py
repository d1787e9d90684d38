"""A real API server with a small cluster in it, of each Kubernetes version that the lab offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_api.client import ApiClient
from lab.controlplane.binaries import VERSIONS
from lab.controlplane.etcd_bulk_load import fill
from lab.controlplane.server import ControlPlane
from lab.demo.api_server import ACCOUNT, ROLE, permissions
from tests.cluster.rights import wait_until_listed

PODS = 1253


@dataclass(frozen=True, slots=True)
class Crowd:
    """A control plane with 1,253 pods of 20 services, and the collector's kubeconfig with its own ClusterRole."""

    plane: ControlPlane
    kubeconfig: Path
    role: dict[str, Any]


@pytest.fixture(scope="session", params=VERSIONS)
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    """One crowd a version, for every test of this folder that changes nothing of it."""
    with ControlPlane(tmp_path_factory.mktemp("controlplane"), version=request.param) as plane:
        counts = {"Node": 23, "Service": 20, "Deployment": 20, "ReplicaSet": 20, "Pod": PODS}
        fill(plane, counts, lambda _text: None)
        role = yaml.safe_load(ROLE.read_text())
        plane.apply(permissions(role))
        kubeconfig = plane.kubeconfig_for(ACCOUNT["namespace"], ACCOUNT["name"])
        wait_until_listed(ApiClient.connect(kubeconfig), "/api/v1/pods")
        yield Crowd(plane, kubeconfig, role)
