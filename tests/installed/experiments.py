"""Experiments on the test cluster as an operator runs them: ordered and stopped by the command, applied by kubectl.

What they do to the nodes is read from the machine's side: programs at cgroups of pods, and at interfaces of nodes.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import yaml

from chaos.faults.pod_cgroups import pod_folders
from lab.real_cluster.cluster import RealCluster
from lab.real_cluster.daemons import MOUNTS
from lab.real_cluster.installed import install
from lab.simulated import cgroups
from tests.chaos.faults.attached_programs import programs_at_cgroup, programs_at_interfaces
from tests.chaos.faults.kernel_state import network_namespace_of

NAMESPACE = "v2"  # of the document's experiment, and so of its runner
TENANT = ("--account", "acme", "--organization", "default", "--project", "shop", "--environment", "demo")
MANAGER = f"http://{install.RELEASE}-manager.{install.NAMESPACE}.svc:8080"  # as pods reach it
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "chaos"]
RELEASE_SECONDS = 6  # from a stop to the end of its faults
Object = dict[str, Any]


@dataclass(frozen=True)
class Ordered:
    """A run that was ordered, and the file of its runner's objects."""

    run_id: str
    manifests: Path
    ordered_at: float

    @property
    def objects(self) -> list[Object]:
        """The runner's objects."""
        return list(yaml.safe_load_all(self.manifests.read_text()))

    @property
    def name(self) -> str:
        """The name of the runner's objects."""
        found: str = self.objects[0]["metadata"]["name"]
        return found


@contextmanager
def forwarded_manager(cluster: RealCluster) -> Iterator[str]:
    """The manager's URL at a port of this machine that kubectl forwards, since a key never goes out in the clear."""
    words = ["-n", install.NAMESPACE, "port-forward", f"service/{install.RELEASE}-manager", ":8080"]
    command = [str(cluster.programs["kubectl"]), f"--kubeconfig={cluster.kubeconfig}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # Forwarding from 127.0.0.1:40000 -> 8080
            yield f"http://{line.split()[2]}"
        finally:
            process.kill()


@dataclass(frozen=True)
class Operator:
    """Somebody with an admin's key of the account, kubectl, and a folder for files."""

    cluster: RealCluster
    url: str
    folder: Path
    key: str
    namespace: str = NAMESPACE  # of the runners

    def chaos(self, *words: str) -> str:
        """What `podsonar chaos` prints; AssertionError if it fails."""
        key_file = self.folder / "key"
        key_file.write_text(self.key)
        given = [words[0], "--manager", self.url, "--key-file", str(key_file), *words[1:]]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(install.REPOSITORY)}
        done = subprocess.run([*COMMAND, *given], capture_output=True, text=True, env=environ, check=False)
        assert done.returncode == 0, (words, done.returncode, done.stderr)
        return done.stdout

    def order(self, infra: str, experiment: Object, *more: str) -> Ordered:
        """Order a run, with more options of the command, and apply its runner's objects as they were written."""
        begun = time.monotonic()
        file, manifests = self.folder / f"{infra}.yaml", self.folder / f"{infra}-runner.yaml"
        file.write_text(yaml.safe_dump(experiment))
        written = ("--manifests", str(manifests), "--runner-manager", MANAGER)
        run_id = self.chaos("run", *TENANT, "--infra", infra, *written, *more, str(file)).strip()
        self.cluster.kubectl("apply", "-f", str(manifests))
        return Ordered(run_id, manifests, begun)

    def report(self, run: Ordered) -> Object:
        """The run as it is now."""
        found: Object = orjson.loads(self.chaos("report", *TENANT, "--json", run.run_id))
        return found

    def wait_for_end(self, run: Ordered, seconds: float) -> Object:
        """The run once it has completed."""
        while not (found := self.report(run))["completed"]:
            assert time.monotonic() - run.ordered_at < seconds, (found["executionData"], self.log(run))
            time.sleep(1)
        return found

    def stop(self, run: Ordered) -> None:
        """Ask the run to stop."""
        self.chaos("stop", *TENANT, "--reason", "enough was seen", run.run_id)

    def log(self, run: Ordered) -> str:
        """What the runner logged, if it is there."""
        return self.cluster.kubectl("-n", self.namespace, "logs", "-l", f"ddcr.app/name={run.name}", "--tail=20")

    def pods(self, namespace: str = "", **labels: str) -> list[Object]:
        """The pods of a namespace, else of the runners', with these labels."""
        chosen, path = ",".join(f"{name}={value}" for name, value in labels.items()), namespace or self.namespace
        items: list[Object] = self.cluster.get(f"/api/v1/namespaces/{path}/pods", labelSelector=chosen)["items"]
        return items

    def injectors(self, run: Ordered) -> list[Object]:
        """The pods of a run's injectors."""
        found = self.pods(**{"podsonar.io/role": "injector"})
        return [pod for pod in found if pod["metadata"]["labels"]["podsonar.io/run-id"] == run.run_id]


def faults_of_pods(cluster: RealCluster) -> dict[str, int]:
    """Network faults by UID of the pod, for the pods that have one now."""
    found: dict[str, int] = {}
    for uid, folder in cluster_pods(cluster):
        try:
            count = programs_at_cgroup(folder)
        except OSError:
            if folder.exists():
                raise
            continue  # a pod of others has ended
        if count:
            found[uid] = count
    return found


def delays_of_nodes(cluster: RealCluster) -> list[dict[str, int]]:
    """Of each node the programs by interface, where there are any: a delay has two at its TAP, one at a pod's veth."""
    found = []
    for pid in cluster.namespace_pids():
        with network_namespace_of(pid):
            found.append(programs_at_interfaces())
    return found


def cluster_pods(cluster: RealCluster) -> Iterator[tuple[str, Path]]:
    """UID and cgroup of every pod, in every hierarchy."""
    for top in cgroups.hierarchies(MOUNTS.read_text()):
        yield from pod_folders(top / cluster.layout.name)


def programs_of_pods(cluster: RealCluster) -> dict[str, set[str]]:
    """The command lines of every process in a pod's cgroups, by UID of the pod."""
    found: dict[str, set[str]] = {}
    for uid, folder in cluster_pods(cluster):
        with suppress(OSError):  # a pod has ended
            for members in folder.rglob("cgroup.procs"):
                for pid in members.read_text().split():
                    with suppress(OSError):  # a process has ended, and the others are looked at
                        command = Path("/proc", pid, "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        found.setdefault(uid, set()).add(command)
    return found


def wait(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return once the condition holds; several threads wait, so none looks after the cluster's daemons."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)
