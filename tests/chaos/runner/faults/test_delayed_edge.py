"""An injector of a delay as its pod's process on a node: ready only where it can be, over when it is not wanted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.injector.order import InjectionOrder
from chaos.runner.injectors.pods import RunnerPod, injector_manifest
from chaos.runner.injectors.registry import Injector, Injectors
from chaos.runner.injectors.server import InjectorServer
from chaos.runner.targets import TargetPod
from tests.chaos.faults.kernel_state import network_namespace_of
from tests.chaos.faults.simulated_node import CLIENT, OTHER_PORT, PORT, SERVER, Node, simulated_node
from tests.chaos.runner.kubelet import COMMAND, REPOSITORY, ROOT, privileges

WAIT_SECONDS = 20.0

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Node]:
    """A node, with two pods that can reach each other."""
    with simulated_node() as made:
        yield made


@contextmanager
def injector_of(node: Node, log: Path, **given: Any) -> Iterator[tuple[Injectors, Injector]]:
    """A process with the rights of the injector's pod, in the node's network, and the runner that it reports to."""
    edge: dict[str, Any] = {"networks": (SERVER,), "ports": (PORT,), "milliseconds": 200, "address": CLIENT}
    order = InjectionOrder("packet-delay", node.uid, 60, **(edge | given))
    injectors = Injectors()
    injector = injectors.add()
    with network_namespace_of(node.node.pid):
        server = InjectorServer(0, injectors)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    runner = RunnerPod("hce", "run", "u", "image", "Never", (), url, "r-1")
    pod = injector_manifest(runner, "step", injector, TargetPod("shop", "cart-1", node.uid, "node", "o"), order)
    (container,) = pod["spec"]["containers"]
    words = [ROOT if word == "/host/cgroup" else word for word in container["args"]]
    environment = {one["name"]: one["value"] for one in container["env"]}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
    command = [*privileges(container["securityContext"]), *COMMAND, *words]
    with server, log.open("ab") as file, network_namespace_of(node.node.pid):
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        try:
            yield injectors, injector
        finally:
            process.kill()
            process.wait()


def test_edge_is_slow_from_the_word_to_inject_until_that_to_release(node: Node, tmp_path: Path) -> None:
    """Not before, though the injector has tried it; then by 200 ms, the other port not; afterwards as before."""
    before = node.state()
    with injector_of(node, tmp_path / "log") as (injectors, injector):
        assert injectors.wait(WAIT_SECONDS, lambda: injector.state == "ready"), (tmp_path / "log").read_text()
        assert (node.state(), node.is_prompt()) == (before, True)
        injectors.command([injector], "inject")
        assert injectors.wait(WAIT_SECONDS, lambda: injector.state == "held"), injector
        assert (node.milliseconds() >= 200, node.is_prompt(port=OTHER_PORT)) == (True, True)
        injectors.command([injector], "release")
        assert injectors.wait(WAIT_SECONDS, lambda: injector.over), injector
        assert node.is_prompt()
    assert (injector.by, injector.counters["dropped"]) == ("G2", 0)
    assert injector.counters["hit"] == injector.counters["returned"] > 0
    assert node.state() == before


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"address": "10.77.1.99"}, "packet-delay: 0 interfaces of this node lead to pod address 10.77.1.99"),
        ({"address": ""}, "address is ''"),
        ({"jitter": 300}, "jitter is 300"),
    ],
)
def test_what_cannot_be_injected_is_said_before_anybody_injects(
    node: Node, tmp_path: Path, given: dict[str, Any], expected: str
) -> None:
    """The injector fails instead of being ready: then no injector of the step is told to inject."""
    before = node.state()
    with injector_of(node, tmp_path / "log", **given) as (injectors, injector):
        assert injectors.wait(WAIT_SECONDS, lambda: injector.state != "new"), (tmp_path / "log").read_text()
    assert (injector.state, expected in injector.message) == ("failed", True), injector.message
    assert node.state() == before


def test_order_is_read_as_it_is_written() -> None:
    """With the pod's address, delay and jitter."""
    order = InjectionOrder("packet-delay", "u", 60, address="10.0.0.7", milliseconds=200, jitter=10, ports=(80,))
    assert msgspec.json.decode(msgspec.json.encode(order), type=InjectionOrder) == order
