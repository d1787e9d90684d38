"""Faults that injectors hold, on a real API server with real cgroups: all or none, once, released and confirmed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.runner.conftest import Site, Workload
from tests.chaos.runner.faults.test_pod_delete import kubeconfig, run_to_end, stop, verdicts
from tests.chaos.runner.kubelet import Kubelet

STOP_SECONDS = 6.0
PEERS = Path(__file__).parents[2] / "faults" / "peers.py"

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.long]


class ManagedWorkload(Workload):
    """A Deployment whose pods run on the test's node."""

    has_kubelet = True


def own_deployment(site: Site) -> None:
    """Make the runner's own Deployment, which owns its injectors."""
    labels = {"app": "runner"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "runner:1"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "runner", "namespace": site.namespace}
    site.plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}])


@pytest.fixture
def workload(site: Site, kubelet: Kubelet) -> Iterator[ManagedWorkload]:
    """Two running pods, and the runner's own Deployment, which owns its injectors."""
    own_deployment(site)
    made = ManagedWorkload(site.plane, site.namespace, "web", 2)
    site.wait(lambda: sum(one.get("status", {}).get("phase") == "Running" for one in made.list_pods()) == 2)
    yield made
    made.end()


def task(site: Site, fault: str, **settings: str) -> dict[str, Any]:
    """A task of a fault on the workload."""
    workloads = [{"kind": "deployment", "namespace": site.namespace, "names": "web", "labels": ""}]
    chaos = {"experiment": fault, "env": [{"name": key, "value": value} for key, value in settings.items()]}
    return {"name": "only", "definition": {"targets": {"selectors": {"workloads": workloads}}, "chaos": chaos}}


class Ordered:
    """A run of one task, with its runner."""

    def __init__(self, site: Site, one: dict[str, Any], url: str) -> None:
        self.site, self.url = site, url
        self.ids = site.order([one], [["only"]])
        self.identity: Path = kubeconfig(site, [one])
        self.process = self.start()

    def start(self) -> "subprocess.Popen[bytes]":
        """A runner."""
        return self.site.start(self.ids, self.identity, DDCR_ENDPOINT=self.url)

    def end(self) -> dict[str, Any]:
        """The run once its runner has ended."""
        return run_to_end(self.site, self.process, self.ids)

    def node(self) -> dict[str, Any]:
        """The step's node as it is now."""
        run = self.site.run(self.ids)
        found: dict[str, Any] = run["executionData"]["nodes"][f"{run['experimentName']}-only"]
        return found


def test_cpu_is_used_in_one_container_and_nothing_is_left(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str
) -> None:
    """Two processes in the container of one pod, none in its neighbour's; afterwards no process and no pod of ours."""
    run = Ordered(site, task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="4", CPU_CORES="2"), report_url)
    site.wait(lambda: [len(found) for found in kubelet.hogs().values()] == [2])
    (process,) = kubelet.injectors.values()
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert all(f"{name}:\t0000000000000000" in status for name in ("CapEff", "CapPrm", "CapBnd")), status
    names = [one["name"] for one in run.node()["chaosData"]["helperPodDetails"]]
    assert names == kubelet.pods_left()
    assert run.end()["phase"] == "Completed"
    message = run.node()["message"]
    assert re.match(r"1 pods, released by G[12]; bytes 0, cpuSeconds ", message), message
    assert float(message.rpartition(" ")[2]) > 0
    site.wait(lambda: not kubelet.hogs() and not kubelet.pods_left())


def test_memory_is_charged_to_the_container(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str
) -> None:
    """64 MiB in each of both containers, and gone again."""

    def charged() -> list[int]:
        names = ("memory.usage_in_bytes", "memory.current")
        files = [one / name for c in tuple(kubelet.containers.values()) for one in c.folders for name in names]
        return [int(one.read_text()) >> 20 for one in files if one.exists()]

    settings = {"TOTAL_CHAOS_DURATION": "600", "MEMORY_CONSUMPTION": "64", "POD_AFFECTED_PERCENTAGE": "100"}
    run = Ordered(site, task(site, "pod-memory-hog", **settings), report_url)
    site.wait(lambda: all(62 <= size <= 76 for size in charged()) and len(charged()) == 2)
    stop(site, run.ids)
    assert run.end()["phase"] == "Stopped"
    assert "2 pods, released by G2" in run.node()["message"]
    assert all(size < 20 for size in charged())


def test_killed_runner_takes_its_fault_along_and_the_next_does_not_inject(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str
) -> None:
    """Nobody answers the injector: the fault ends. A runner that comes again: Error, and no second injector."""
    run = Ordered(site, task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="600", CPU_LOAD="5"), report_url)
    site.wait(lambda: len(kubelet.hogs()) == 1)
    run.process.kill()
    run.process.wait()
    site.wait(lambda: not kubelet.hogs())
    run.process = run.start()
    assert verdicts(run.end()) == {"only": ("Error", "Error")}
    assert "interrupted" in run.node()["message"]
    assert len(kubelet.seen) == 1
    site.wait(lambda: not kubelet.pods_left())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_stop_without_a_runner_is_a_release_within_six_seconds(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str, number: signal.Signals
) -> None:
    """The runner is dead, or hangs: its injectors end by themselves. The run claims no stop that nobody has seen."""
    settings = {"TOTAL_CHAOS_DURATION": "600", "CPU_LOAD": "5", "POD_AFFECTED_PERCENTAGE": "100"}
    run = Ordered(site, task(site, "pod-cpu-hog", **settings), report_url)
    site.wait(lambda: len(kubelet.hogs()) == 2)
    os.kill(run.process.pid, number)
    begun = time.monotonic()
    stop(site, run.ids)
    site.wait(lambda: not kubelet.hogs())
    assert time.monotonic() - begun <= STOP_SECONDS
    data = site.run(run.ids)
    assert (data["completed"], data["phase"], verdicts(data)["only"]) == (False, "Running", ("Running", "Awaited"))
    assert "not confirmed" in data["executionData"]["message"]
    run.process.kill()
    run.process.wait()
    run.process = run.start()
    assert verdicts(run.end()) == {"only": ("Error", "Error")}
    assert len(kubelet.seen) == 2
    site.wait(lambda: not kubelet.pods_left())


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGKILL, "nothing was heard"), (signal.SIGTERM, "over before")]
)
def test_dead_injector_ends_the_step_as_an_error(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str, number: signal.Signals, expected: str
) -> None:
    """Its fault went with it, or it says that it ended; the step says which, and is no Pass."""
    run = Ordered(site, task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="600", CPU_LOAD="5"), report_url)
    site.wait(lambda: len(kubelet.hogs()) == 1)
    (process,) = kubelet.injectors.values()
    os.kill(process.pid, number)
    assert verdicts(run.end()) == {"only": ("Error", "Error")}
    assert run.node()["chaosData"]["errorCode"] == "E3012: FAULT_ENDED_EARLY"
    assert expected in run.node()["message"]
    assert not kubelet.hogs()


@pytest.fixture
def peers(kubelet: Kubelet, workload: ManagedWorkload) -> Iterator[tuple[str, Callable[..., str | None]]]:
    """The name of a target with a server in it, and connects to that, or with `inside=True` from within the target."""
    (uid, container), *_others = kubelet.containers.items()
    (name,) = [one["metadata"]["name"] for one in workload.list_pods() if one["metadata"]["uid"] == uid]
    command = ["unshare", "--net", sys.executable, "-I", "-S", "-B", str(PEERS), str(container.unified)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"

    def connect(**given: Any) -> str | None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"address": "127.0.0.1"} | given) + "\n")
        process.stdin.flush()
        error: str | None = json.loads(process.stdout.readline())["error"]
        return error

    yield name, connect
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize(
    ("fault", "settings", "given", "expected"),
    [
        ("pod-network-partition", {"DESTINATION_IPS": "127.0.0.1"}, {}, "TimeoutError"),
        ("pod-network-loss", {"ALL_TRAFFIC": "true"}, {}, "TimeoutError"),
        ("pod-connect-refused", {"DESTINATION_PORTS": "18099"}, {"inside": True}, "ConnectionRefusedError"),
        ("pod-dns-error", {"TARGET_HOSTNAMES": '["cart.shop"]'}, {"inside": True, "ask": "cart.shop"}, "TimeoutError"),
    ],
)
def test_network_fault_is_on_the_pod_until_the_stop(
    site: Site,
    peers: tuple[str, Callable[..., str | None]],
    report_url: str,
    fault: str,
    settings: dict[str, str],
    given: dict[str, Any],
    expected: str,
) -> None:
    """Connects fail as they should while it is held, at a server or a client in the pod; afterwards they work again."""
    name, connect = peers
    assert connect(**given) is None
    more = {"TOTAL_CHAOS_DURATION": "600", "TARGET_PODS": name} | settings
    run = Ordered(site, task(site, fault, **more), report_url)
    site.wait(lambda: connect(**given) == expected)
    stop(site, run.ids)
    assert run.end()["phase"] == "Stopped"
    assert connect(**given) is None
    found = re.search(r"1 pods, released by G2; hit (\d+), seen (\d+)$", run.node()["message"])
    assert found is not None, run.node()
    assert 0 < int(found[1]) <= int(found[2])


def test_restarted_target_is_not_hit(site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str) -> None:
    """The container that was chosen is another one when the injector is there: nothing is injected."""
    kubelet.swap = True
    run = Ordered(site, task(site, "pod-cpu-hog", TOTAL_CHAOS_DURATION="600"), report_url)
    assert verdicts(run.end()) == {"only": ("Error", "Error")}
    assert "nothing was injected" in run.node()["message"]
    assert not kubelet.hogs()


def test_one_container_is_killed_and_starts_again(
    site: Site, kubelet: Kubelet, workload: ManagedWorkload, report_url: str
) -> None:
    """One of two; the other is not touched."""
    before = dict(kubelet.restarts)
    run = Ordered(site, task(site, "container-kill", TOTAL_CHAOS_DURATION="1"), report_url)
    assert run.end()["phase"] == "Completed", run.node()
    assert run.node()["message"] == "1 containers killed"
    site.wait(lambda: kubelet.restarts != before)  # the kubelet's next look
    assert sorted(kubelet.restarts[uid] - before[uid] for uid in before) == [0, 1]
