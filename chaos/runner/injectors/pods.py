"""The pod of an injector: on the target's node, owned by the runner's Deployment, with what its fault needs. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from chaos.injector.order import InjectionOrder
from chaos.runner.injectors.registry import Injector
from chaos.runner.targets import TargetPod
from podsonar.run_labels import labels_of_injector

GRACE_SECONDS = 90  # beyond a fault's own time: until every injector is ready, and for the last report
CAPABILITIES: Mapping[str, tuple[str, ...]] = {
    "packet-loss": ("BPF", "NET_ADMIN"),
    "connect-refusal": ("BPF", "NET_ADMIN"),
    "dns-failure": ("BPF", "NET_ADMIN"),
    "packet-delay": ("BPF", "NET_ADMIN"),
}
IN_NODE_NETWORK = frozenset({"packet-delay"})  # the node's end of the pod's pair of interfaces is there
CGROUPS, TAP_DEVICE = "/host/cgroup", "/dev/net/tun"


class RunnerPod(NamedTuple):
    """What an injector takes over from its runner: namespace, owner, image and the URL at which it reports."""

    namespace: str
    name: str
    uid: str
    image: str
    pull_policy: str
    pull_secrets: tuple[dict[str, str], ...]
    url: str
    run_id: str


def runner_pod(deployment: Mapping[str, Any], url: str, run_id: str) -> RunnerPod:
    """What is taken over from a runner's Deployment."""
    metadata, spec = deployment["metadata"], deployment["spec"]["template"]["spec"]
    (container, *_others) = spec["containers"]
    return RunnerPod(
        metadata["namespace"],
        metadata["name"],
        metadata["uid"],
        container["image"],
        container.get("imagePullPolicy") or "IfNotPresent",
        tuple(spec.get("imagePullSecrets") or ()),
        url,
        run_id,
    )


def injector_manifest(
    runner: RunnerPod, step: str, injector: Injector, target: TargetPod, order: InjectionOrder
) -> dict[str, Any]:
    """The pod: uid 0 without any capability but its fault's, no API token, no host namespace, one host path.

    A delay alone is in the node's network, and has the device of TAPs.
    """
    variables = {
        "PODSONAR_INJECTION": msgspec.json.encode(order).decode(),
        "PODSONAR_RUNNER_URL": runner.url,
        "PODSONAR_INJECTOR_ID": injector.id,
        "PODSONAR_INJECTOR_TOKEN": injector.token,
    }
    capabilities: dict[str, list[str]] = {"drop": ["ALL"]}
    if added := CAPABILITIES.get(order.kind):
        capabilities["add"] = list(added)
    container: dict[str, Any] = {
        "name": "injector",
        "image": runner.image,
        "imagePullPolicy": runner.pull_policy,
        "args": ["injector", "hold", "--cgroups", CGROUPS],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": capabilities,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"limits": {"memory": "192Mi"}, "requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "cgroups", "mountPath": CGROUPS}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    volumes = [{"name": "cgroups", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}}]
    network: dict[str, Any] = {}
    if order.kind in IN_NODE_NETWORK:
        container["volumeMounts"].append({"name": "tap", "mountPath": TAP_DEVICE})
        volumes.append({"name": "tap", "hostPath": {"path": TAP_DEVICE, "type": "CharDevice"}})
        network = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": runner.name, "uid": runner.uid}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{runner.name[:40]}-injector-{injector.id}",
            "namespace": runner.namespace,
            "labels": labels_of_injector(runner.run_id),
            "annotations": {"podsonar.io/step": step, "podsonar.io/target": f"{target.namespace}/{target.name}"},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": target.node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(order.seconds) + GRACE_SECONDS,
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": list(runner.pull_secrets),
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
            "volumes": volumes,
        }
        | network,
    }
