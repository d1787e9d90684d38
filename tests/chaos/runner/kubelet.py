"""The kubelet of the tests' only node: target pods get real cgroups and processes, injectors' pods run as processes.

An injector has the capabilities of its pod and no others. What is not checked: images, volumes and seccomp profiles.
"""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.controlplane.server import ControlPlane
from lab.simulated.cgroups import pod_cgroups, remove
from podsonar.errors import ApiServerError

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "from cli.main import main; main()"]
ROOT = "/sys/fs/cgroup"


class Container:
    """One container of a target: a process in a cgroup of each hierarchy."""

    def __init__(self, run: str, uid: str) -> None:
        self.id = secrets.token_hex(32)
        self.folders = pod_cgroups(run, uid, self.id)
        self.process = subprocess.Popen(["sleep", "600"])
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(self.process.pid))

    @property
    def unified(self) -> Path:
        """Its version 2 cgroup."""
        return next(one for one in self.folders if (one / "cgroup.controllers").exists())

    def members(self) -> set[int]:
        """Processes in it beside its own, in any hierarchy."""
        found = {int(pid) for one in self.folders for pid in (one / "cgroup.procs").read_text().split()}
        return found - {self.process.pid}

    def end(self) -> None:
        """End its process."""
        self.process.kill()
        self.process.wait()


def privileges(security: dict[str, Any]) -> list[str]:
    """The command that gives a program what a runtime gives a container of uid 0, and nothing beyond."""
    capabilities = security["capabilities"]
    assert (security["runAsUser"], capabilities["drop"], security["allowPrivilegeEscalation"]) == (0, ["ALL"], False)
    kept = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities.get("add", []))])
    return ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={kept}"]


class Kubelet:
    """Runs the pods of a namespace until the test is over. `swap` renames a target's container before an injection."""

    def __init__(self, plane: ControlPlane, namespace: str, log: Path) -> None:
        self.plane, self.namespace, self.log = plane, namespace, log
        self.run = f"podsonar-injector-{secrets.token_hex(4)}"
        self.containers: dict[str, Container] = {}
        self.restarts: dict[str, int] = {}
        self.injectors: dict[str, subprocess.Popen[bytes]] = {}
        self.seen: dict[str, dict[str, Any]] = {}
        self.swap = False
        self.over = threading.Event()
        self.errors: list[str] = []
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()

    def loop(self) -> None:
        """Reconcile until the end."""
        while not self.over.wait(0.1):
            try:
                self.step()
            except (ApiServerError, OSError) as error:  # an object went meanwhile, or the test is over
                self.errors.append(str(error))

    def step(self) -> None:
        """Look at every pod once."""
        pods = self.plane.objects.request("GET", f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        for pod in pods:
            if pod["metadata"].get("labels", {}).get("podsonar.io/role") == "injector":
                self.step_injector(pod)
            elif not pod["metadata"].get("deletionTimestamp"):
                self.step_target(pod)

    def step_target(self, pod: dict[str, Any]) -> None:
        """Start its container, again if its processes were killed."""
        uid = pod["metadata"]["uid"]
        found = self.containers.get(uid)
        if found is not None and found.process.poll() is None:
            return
        self.restarts[uid] = self.restarts.get(uid, -1) + 1
        self.containers[uid] = Container(self.run, uid)
        self.show(pod, "Running", {"containerID": f"containerd://{self.containers[uid].id}", "state": {"running": {}}})

    def step_injector(self, pod: dict[str, Any]) -> None:
        """Start its process once, show how it ended, and let it go when it is deleted."""
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        process = self.injectors.get(uid)
        if process is None:
            self.seen[uid] = pod
            if self.swap:
                self.swap = False
                for container in self.containers.values():
                    container.end()
                return
            self.injectors[uid] = self.start(pod)
            self.show(pod, "Running", {"containerID": "containerd://x", "state": {"running": {}}})
            return
        if metadata.get("deletionTimestamp") and process.poll() is None:
            process.terminate()
        if process.poll() is not None:
            if metadata.get("deletionTimestamp"):
                self.plane.objects.delete(pod | {"apiVersion": "v1", "kind": "Pod"})
            elif pod["status"]["phase"] == "Running":
                ended = {"terminated": {"exitCode": abs(process.returncode)}}
                self.show(pod, "Failed" if process.returncode else "Succeeded", {"state": ended})

    def start(self, pod: dict[str, Any]) -> "subprocess.Popen[bytes]":
        """The process of an injector's pod."""
        (container,) = pod["spec"]["containers"]
        words = [ROOT if word == "/host/cgroup" else word for word in container["args"]]
        words = [*privileges(container["securityContext"]), *COMMAND, *words]
        environment = {one["name"]: one["value"] for one in container["env"]}
        environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
        with self.log.open("ab") as log:
            return subprocess.Popen(words, env=environment, stdout=log, stderr=log)

    def show(self, pod: dict[str, Any], phase: str, status: dict[str, Any]) -> None:
        """Report a pod's status."""
        (container,) = pod["spec"]["containers"]
        shown = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": phase == "Running",
            "restartCount": max(0, self.restarts.get(pod["metadata"]["uid"], 0)),
        }
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
        body = {"status": {"phase": phase, "containerStatuses": [shown | status]}}
        headers = {"Content-Type": "application/merge-patch+json"}
        self.plane.objects.request("PATCH", path, json=body, headers=headers)

    def hogs(self) -> dict[str, set[int]]:
        """Foreign processes by UID of the target; the reconciler goes on meanwhile."""
        return {uid: found for uid, one in tuple(self.containers.items()) if (found := one.members())}

    def pods_left(self) -> Sequence[str]:
        """Names of injectors that the API server has."""
        query = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=podsonar.io%2Frole%3Dinjector"
        return [one["metadata"]["name"] for one in self.plane.objects.request("GET", query)["items"]]

    def end(self) -> None:
        """Stop everything that was started here."""
        self.over.set()
        self.thread.join()
        for process in self.injectors.values():
            process.kill()
            process.wait()
        for container in self.containers.values():
            with suppress(ProcessLookupError):
                container.end()
        remove(self.run)
