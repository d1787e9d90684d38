"""The API server that the demo's collector lists from: a real one if its programs are here, else recorded objects.

On the real one the collector is a service account with the ClusterRole of deployments and nothing more.
"""

import importlib.util
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from lab.controlplane.binaries import find
from lab.demo import fake_api_server
from podsonar.errors import ApiServerError

Object = dict[str, Any]

SERVICE_CIDR = "10.96.0.0/16,fd00:96:7::/112"
ROLE = Path(__file__).resolve().parents[2] / "deploy" / "rbac" / "collector.yaml"  # of the checkout: not in a wheel
ACCOUNT = {"namespace": "default", "name": "collector"}
# Owners before what they own: the server assigns the uids that owner references repeat.
STAGES = (("Namespace", "Node"), ("Deployment",), ("ReplicaSet",), ("Pod",), ("Service", "EndpointSlice"))


@dataclass(frozen=True, slots=True)
class DemoCluster:
    """Where to list from: `kubernetes` or `recorded`, a kubeconfig, and the objects with the server's uids."""

    kind: str
    kubeconfig: Path
    objects: list[Object]


def permissions(role: Object) -> list[Object]:
    """The collector's service account, its role, and the binding of both."""
    group = "rbac.authorization.k8s.io"
    name = role["metadata"]["name"]
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", **ACCOUNT}],
    }
    return [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": ACCOUNT}, role, binding]


def with_uids(item: Object, uids: Mapping[str, str]) -> Object:
    """The object with the server's uids in its owner references and endpoint targets."""
    changed = dict(item)
    metadata = item["metadata"]
    if "ownerReferences" in metadata:
        owners = [{**owner, "uid": uids[owner["uid"]]} for owner in metadata["ownerReferences"]]
        changed["metadata"] = {**metadata, "ownerReferences": owners}
    if "endpoints" in item:
        targets = [one["targetRef"] for one in item["endpoints"]]
        changed["endpoints"] = [
            {**one, "targetRef": {**target, "uid": uids[target["uid"]]}}
            for one, target in zip(item["endpoints"], targets, strict=True)
        ]
    return changed


def apply_in_stages(apply: Callable[[list[Object]], list[Object]], objects: list[Object]) -> list[Object]:
    """Apply the objects stage by stage, owners first; return them as the server stores them."""
    uids: dict[str, str] = {}
    stored_objects: list[Object] = []
    for kinds in STAGES:
        stage = [item for item in objects if item["kind"] in kinds]
        answers = apply([with_uids(item, uids) for item in stage])
        for item, answer in zip(stage, answers, strict=True):
            uids[item["metadata"]["uid"]] = answer["metadata"]["uid"]
        stored_objects += answers
    return stored_objects


def start_real(stack: ExitStack, folder: Path, objects: list[Object], report: Callable[[str], object]) -> DemoCluster:
    """A cluster on a real API server, stopped with the stack; raises ApiServerError if it does not start."""
    from lab.controlplane.server import ControlPlane  # noqa: PLC0415 - it needs the extra `lab`

    plane = stack.enter_context(ControlPlane(folder / "controlplane", SERVICE_CIDR, report))
    plane.apply(permissions(yaml.safe_load(ROLE.read_text())))
    stored_objects = apply_in_stages(plane.apply, objects)
    return DemoCluster("kubernetes", plane.kubeconfig_for(ACCOUNT["namespace"], ACCOUNT["name"]), stored_objects)


def with_new_uids(objects: list[Object]) -> list[Object]:
    """The objects with random uids, so that two demos can run side by side on one machine."""

    def renamed(item: Object) -> Object:
        return {**item, "metadata": {**item["metadata"], "uid": str(uuid.uuid4())}}

    return apply_in_stages(lambda stage: [renamed(item) for item in stage], objects)


def start_recorded(stack: ExitStack, folder: Path, objects: list[Object]) -> DemoCluster:
    """The same cluster, served over HTTP in the API's shape."""
    objects = with_new_uids(objects)
    path = folder / "kubeconfig"
    path.write_bytes(orjson.dumps(fake_api_server.kubeconfig(stack.enter_context(fake_api_server.serving(objects)))))
    return DemoCluster("recorded", path, objects)


def available() -> bool:
    """Return whether a real API server can run here without building anything."""
    certificates = importlib.util.find_spec("cryptography") is not None
    return certificates and ROLE.exists() and find(("kube-apiserver", "etcd")) is not None


@contextmanager
def serving(folder: Path, objects: list[Object], report: Callable[[str], object]) -> Iterator[DemoCluster]:
    """The cluster to observe, until the block ends."""
    with ExitStack() as stack:
        if not available():
            yield start_recorded(stack, folder, objects)
            return
        with ExitStack() as attempt:
            try:
                cluster = start_real(attempt, folder, objects, report)
            except ApiServerError as error:
                report(f"no real API server ({error}): recorded objects stand in")
            else:
                stack.push(attempt.pop_all())
                yield cluster
                return
        yield start_recorded(stack, folder, objects)
