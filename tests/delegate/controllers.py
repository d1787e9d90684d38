"""What a cluster's controllers would do to workloads: the lab's API server runs without any.

Deployments and DaemonSets become available with one pod each, and go away when deleted, pods first. It does not
schedule, start or probe anything.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from lab.controlplane.server import ControlPlane
from podsonar.errors import ApiServerError

TURN_SECONDS = 0.1
NODE = "node-a"
KINDS = {"deployments": "Deployment", "daemonsets": "DaemonSet"}


class Controllers:
    """A loop over the workloads of one namespace; `held` names components that never become available."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.namespace = plane, namespace
        self.held: set[str] = set()
        self.stop = threading.Event()

    def turn(self) -> None:
        """Treat every workload once."""
        for plural in KINDS:
            path = f"/apis/apps/v1/namespaces/{self.namespace}/{plural}"
            for found in self.plane.objects.request("GET", path)["items"]:
                self.treat(f"{path}/{found['metadata']['name']}", plural, found)

    def treat(self, path: str, plural: str, found: dict[str, Any]) -> None:
        """Bring one workload on."""
        metadata = found["metadata"]
        name = metadata["name"]
        if metadata.get("deletionTimestamp"):
            self.remove_pod(name)
            self.patch(path, {"metadata": {"finalizers": None}})
            return
        if name in self.held:
            return
        generation = metadata["generation"]
        if found.get("status", {}).get("observedGeneration") == generation:
            return
        self.make_pod(name, found)
        status: dict[str, Any] = {"observedGeneration": generation}
        if plural == "deployments":
            status |= {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
        else:
            names = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberReady")
            status |= dict.fromkeys((*names, "numberAvailable"), 1) | {"numberMisscheduled": 0}
        self.patch(f"{path}/status", {"status": status})

    def make_pod(self, name: str, found: dict[str, Any]) -> None:
        """A pod with the workload's labels."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-x",
                "namespace": self.namespace,
                "labels": found["spec"]["selector"]["matchLabels"],
            },
            "spec": {"nodeName": NODE, "containers": [{"name": "a", "image": "a"}]},
            "status": {"phase": "Running"},
        }
        self.plane.apply([pod])

    def remove_pod(self, name: str) -> None:
        """Delete the workload's pod, if it has one."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}-x"
        content = orjson.dumps({"gracePeriodSeconds": 0})
        self.plane.client.request("DELETE", path, content=content, headers={"Content-Type": "application/json"})

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Merge a patch into an object."""
        headers = {"Content-Type": "application/merge-patch+json"}
        self.plane.client.patch(path, content=orjson.dumps(body), headers=headers)

    def run(self) -> None:
        """Treat every workload until stopped."""
        while not self.stop.wait(TURN_SECONDS):
            try:
                self.turn()
            except ApiServerError:
                continue  # a namespace that is being deleted


@contextmanager
def controllers(plane: ControlPlane, namespace: str) -> Iterator[Controllers]:
    """The loop in a thread while the block runs."""
    found = Controllers(plane, namespace)
    thread = threading.Thread(target=found.run, name="controllers", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        thread.join()
