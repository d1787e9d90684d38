"""Pods without a kubelet: a network namespace, kubelet-shaped cgroups and a real process each; removed at exit."""

import contextlib
import os
import secrets
import select
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from lab.simulated import cgroups, network
from lab.simulated.network import LabError, Translation

PROGRAM = Path(__file__).with_name("pod_program.py")
SERVICE_PROGRAM = Path(__file__).with_name("service_program.py")
PREFIX = "podsonar"
ANSWER_SECONDS = 120  # the longest command of the scenarios takes 10


class PodProcess:
    """The process of one pod; `connect` has made exactly that many attempts when it returns."""

    def __init__(
        self, name: str, namespace: str, folders: Iterable[Path], listen: tuple[object, ...], program: Path = PROGRAM
    ) -> None:
        self.name = name
        self.namespace = namespace
        self.folders = list(folders)
        self.listen = listen
        self.program = program
        self.command_lock = threading.Lock()
        self.process = subprocess.Popen(
            ("/usr/bin/python3", "-I", "-S", str(program)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        start = {
            "cgroups": [str(folder) for folder in self.folders],
            "netns": str(network.NAMESPACE_FOLDER / namespace),
        }
        self.send_command({**start, "listen": list(listen)})

    def send_command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the program's answer; raise LabError if it failed, ended, or exceeded ANSWER_SECONDS."""
        with self.command_lock:
            line = self.exchange(command)
        if not line:
            raise LabError(f"the process of pod {self.name} has ended with {self.process.poll()}")
        answer: dict[str, Any] = orjson.loads(line)
        if "error" in answer:
            raise LabError(f"pod {self.name} failed to run {command}: {answer['error']}")
        return answer

    def exchange(self, command: dict[str, Any]) -> bytes:
        """Send one command and return the line that answers it; empty if the program has ended."""
        if self.process.stdin is None or self.process.stdout is None:
            raise LabError(f"pod {self.name} has no pipes")
        try:
            self.process.stdin.write(orjson.dumps(command) + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return b""
        answered = select.poll()
        answered.register(self.process.stdout, select.POLLIN)
        if not answered.poll(ANSWER_SECONDS * 1000):
            where = Path(f"/proc/{self.process.pid}/wchan").read_text()
            raise LabError(f"pod {self.name} has not answered {command} in {ANSWER_SECONDS} s: it waits in {where}")
        return self.process.stdout.readline()

    def connect(self, address: str, port: int, count: int, mode: str = "close", **more: object) -> dict[str, Any]:
        """`established`, `failed`, `longest_seconds`, `errnos` of `count` connects in a `connect_modes` mode."""
        return self.send_command({"address": address, "port": port, "count": count, "mode": mode, **more})

    def stop(self) -> None:
        """Kill the process and close its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


class Lab:
    """A simulated node with pods; a context manager that removes everything it made, however it ends."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix
        self.run = f"{prefix}-{os.getpid()}"
        self.node = f"{self.run}-node"
        self.pods: dict[str, PodProcess] = {}

    def __enter__(self) -> Self:
        sweep(self.prefix)
        try:
            network.add_node_namespace(self.node)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def add_pod(
        self, name: str, uid: str, addresses: tuple[str, ...], listen: tuple[int, ...] = (), program: Path = PROGRAM
    ) -> PodProcess:
        """Start a pod; its listeners accept when this returns."""
        namespace = f"{self.run}-{name}"
        network.add_namespace(self.node, namespace, f"v{len(self.pods)}", addresses, network.GATEWAY[: len(addresses)])
        folders = cgroups.pod_cgroups(self.run, uid, secrets.token_hex(32))
        self.pods[name] = PodProcess(name, namespace, folders, listen, program)
        return self.pods[name]

    def restart_pod(self, name: str) -> PodProcess:
        """Start the pod's process again, in the same cgroups and network, as a kubelet does with a container."""
        old = self.pods[name]
        old.stop()
        self.pods[name] = PodProcess(name, old.namespace, old.folders, old.listen, old.program)
        return self.pods[name]

    def add_outside(self, listen: tuple[int, ...]) -> None:
        """Start a server on these ports at an address outside every pod range, in a cgroup of the host."""
        namespace = f"{self.run}-outside"
        network.add_namespace(self.node, namespace, "outside", (network.OUTSIDE,), (network.OUTSIDE_GATEWAY,))
        folders = cgroups.make_in_every_hierarchy(f"{self.run}/system.slice/outside.service")
        self.pods["(outside)"] = PodProcess("(outside)", namespace, folders, listen)

    def translate(self, translations: list[Translation]) -> None:
        """Make the node send these ClusterIPs to their backends."""
        network.add_translations(self.node, translations)

    def close(self) -> None:
        """Remove everything of this run: processes, namespaces, links, rules, cgroups."""
        for pod in self.pods.values():
            pod.stop()
        self.pods.clear()
        network.delete_namespaces(self.run)
        cgroups.remove(self.run)


def sweep(prefix: str) -> None:
    """Remove leftovers of runs whose process is gone; runs that are alive stay."""
    names = {"-".join(path.name.split("-")[:2]) for path in network.NAMESPACE_FOLDER.glob(f"{prefix}-*")}
    for run in names | cgroups.runs_with_cgroups(prefix):
        owner = run.removeprefix(f"{prefix}-")
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            network.delete_namespaces(run)
            cgroups.remove(run)
