"""A planned fault, made for real on the pods of a site, and gone at the end of its block."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.predictions.site import Site
from chaos.control.judge.edge_pattern import parse_edge
from chaos.control.judge.prediction import PlannedFault
from chaos.faults.fault import ConnectRefusal, Fault, PacketLoss
from chaos.faults.holder_client import Held, hold
from chaos.faults.kill import kill
from chaos.faults.processes import read_process
from lab.applications.application import addresses
from podsonar.errors import PodsonarError

LOSS_PERCENT = 50.0
MOST_SECONDS = 60.0
EDGE_FAULTS = frozenset({"edge-partition", "edge-loss"})


@dataclass
class Injected:
    """What was injected: holders to be kept alive, and what they said at their end."""

    held: list[Held]
    ended_by: list[str]
    hits: int = 0

    def beat(self) -> None:
        """Keep every holder alive."""
        for one in self.held:
            one.beat()

    @property
    def held_throughout(self) -> bool:
        """Whether no holder ended before it was asked to: a busy machine may let five seconds without a beat pass."""
        return all(by == "G2" for by in self.ended_by)


@contextmanager
def injected(site: Site, planned: PlannedFault) -> Iterator[Injected]:
    """The fault is in; PodsonarError where it cannot be made."""
    made = Injected([], [])
    with ExitStack() as stack:
        if planned.fault == "container-kill":
            killed = hit_pods(site, planned)
            for workload, pod in killed:
                stack.callback(site.behaviour.restart, site.lab, workload, pod)
                kill_pod(site, pod)
            made.hits = len(killed)
        else:
            for fault in faults_of(site, planned):
                held = stack.enter_context(hold(fault, MOST_SECONDS))
                made.held.append(held)
        yield made
        for held in made.held:
            released = held.release()
            made.ended_by.append(released.by)
            made.hits += int(released.counters.get("hit", 0))


def kill_pod(site: Site, pod: str) -> None:
    """Kill the pod's process."""
    process = read_process(site.lab.pods[pod].process.pid)
    if process is None or not kill(process, force=True):
        raise PodsonarError(f"the process of {pod} could not be killed: expected one that runs")
    site.lab.pods[pod].process.wait(10)


def hit_pods(site: Site, planned: PlannedFault) -> list[tuple[str, str]]:
    """Workload and name of each pod that is hit: the affected percentage, at least one."""
    name = planned.target.workload.partition("/")[2]
    pods = site.pods_of(name)
    count = max(1, len(pods) * planned.affected_percentage // 100)
    return [(name, pod) for pod in pods[:count]]


def faults_of(site: Site, planned: PlannedFault) -> list[Fault]:
    """The holders' faults, one per pod that is hit."""
    if planned.fault in EDGE_FAULTS:
        edge = parse_edge(planned.target.edge, "target.edge")
        networks = networks_of(site, edge.destination.rpartition("/")[2])
        percent = LOSS_PERCENT if planned.fault == "edge-loss" else 100.0
        partition = planned.fault == "edge-partition"
        return [
            PacketLoss(site.cgroup(pod), percent, networks, (int(edge.port),), partition=partition)
            for pod in site.pods_of(edge.source.partition("/")[2])
        ]
    cgroups = [site.cgroup(pod) for _workload, pod in hit_pods(site, planned)]
    makers: dict[str, Callable[..., Fault]] = {
        "pod-network-partition": lambda cgroup: PacketLoss(cgroup, partition=True),
        "pod-network-loss": lambda cgroup: PacketLoss(cgroup, LOSS_PERCENT),
        "pod-connect-refused": ConnectRefusal,
    }
    if planned.fault not in makers:
        raise PodsonarError(f"fault {planned.fault!r} is not made here: expected one of {', '.join(makers)}")
    return [makers[planned.fault](cgroup) for cgroup in cgroups]


def networks_of(site: Site, name: str) -> tuple[str, ...]:
    """The addresses of a Service and of its pods; of an address itself."""
    services = [one for one in site.behaviour.application.services if one.name == name]
    if not services:
        return (name,)
    own = [one.address for one in services if one.address]
    pods = [address for host in site.workload(services[0].workload).hosts for address in addresses(host)]
    return (*own, *pods)
