"""A node with two pods on a bridge, each in a network namespace of its own; the client's pod has cgroups."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from chaos.faults.fault import Fault
from chaos.faults.holder_client import Held, hold
from lab.simulated.cgroups import make_in_every_hierarchy, remove
from tests.chaos.faults.kernel_state import KernelState, kernel_state, network_namespace_of

PROGRAM = str(Path(__file__).with_name("pod_peers.py"))
NODE, CLIENT, SERVER = "10.77.1.1", "10.77.1.2", "10.77.1.3"
CLIENT6, SERVER6 = "fd77::2", "fd77::3"
PORT, OTHER_PORT = 18099, 18098
PROMPT_MILLISECONDS = 30  # below every delay of a test


def start(*words: str) -> "subprocess.Popen[str]":
    """A process in a network namespace of its own, once it is ready."""
    made = subprocess.Popen(["unshare", "--net", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def inside(process: "subprocess.Popen[str]", *words: str) -> None:
    """Run `ip` in a process's network namespace."""
    subprocess.run(["nsenter", "--net", "--target", str(process.pid), "ip", *words], check=True)


class Node:
    """The node's namespace is that of `node`; the client's veth is `client`, the server's `server`."""

    def __init__(self) -> None:
        self.run, self.uid = f"podsonar-delay-{secrets.token_hex(4)}", str(uuid4())
        self.cgroups = make_in_every_hierarchy(f"{self.run}/pod{self.uid}")
        self.cgroup = next(one for one in self.cgroups if (one / "cgroup.controllers").exists())
        python = (sys.executable, "-I", "-S", "-B", PROGRAM)
        self.node = start("sh", "-c", "echo ready; exec cat")
        self.server = start(*python, "serve")
        self.client = start(*python, "call", str(self.cgroup))
        inside(self.node, "link", "set", "lo", "up")
        inside(self.node, "link", "add", "pods", "type", "bridge")
        inside(self.node, "address", "add", f"{NODE}/24", "dev", "pods")
        inside(self.node, "link", "set", "pods", "up")
        self.add_pod("server", self.server, f"{SERVER}/24", f"{SERVER6}/64")
        self.add_pod("client", self.client, f"{CLIENT}/24", f"{CLIENT6}/64")
        assert self.connect()["error"] is None

    def add_pod(self, name: str, process: "subprocess.Popen[str]", *addresses: str) -> None:
        """Give a pod its pair of interfaces."""
        pair = ("type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        inside(self.node, "link", "add", name, *pair)
        inside(self.node, "link", "set", name, "master", "pods", "up")
        for address in addresses:
            inside(process, "address", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
        inside(process, "link", "set", "eth0", "up")

    def connect(self, address: str = SERVER, **given: Any) -> dict[str, Any]:
        """Connect once from the client's pod; see `pod_peers`."""
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write(json.dumps({"address": address} | given) + "\n")
        self.client.stdin.flush()
        found: dict[str, Any] = json.loads(self.client.stdout.readline())
        return found

    def milliseconds(self, address: str = SERVER, port: int = PORT) -> float:
        """How long a handshake takes."""
        found = self.connect(address, port=port)
        assert found["error"] is None, found
        return float(found["seconds"]) * 1000

    def is_prompt(self, address: str = SERVER, port: int = PORT) -> bool:
        """Whether handshakes are not delayed: on a busy machine one may wait for a processor, not every one."""
        return any(self.milliseconds(address, port) < PROMPT_MILLISECONDS for _ in range(5))

    @property
    def process(self) -> "subprocess.Popen[str]":
        """A process in the network namespace in which a holder is: the node's."""
        return self.node

    def members(self) -> set[int]:
        """The processes of every cgroup."""
        return {int(pid) for one in self.cgroups for pid in (one / "cgroup.procs").read_text().split()}

    def hold(self, fault: Fault, seconds: float = 60) -> Held:
        """Hold a fault from the node's namespace."""
        with network_namespace_of(self.node.pid):
            return hold(fault, seconds)

    def state(self) -> tuple[KernelState, KernelState]:
        """What a fault could leave behind on the node, and in the client's pod."""
        return kernel_state(self.node.pid, self.cgroups), kernel_state(self.client.pid, self.cgroups)

    def close(self) -> None:
        """End everything."""
        for process in (self.client, self.server, self.node):
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        remove(self.run)


@contextmanager
def simulated_node() -> Iterator[Node]:
    """A node, as long as it is needed."""
    made = Node()
    try:
        yield made
    finally:
        made.close()
