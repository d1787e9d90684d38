"""The faults that an injector holds, by the document's names: settings → an order per pod."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chaos.faults.fault import MAX_DELAY
from chaos.injector.order import InjectionOrder
from chaos.runner.faults.context import Fault, FaultContext
from chaos.runner.faults.destination import Destination, find_destination
from chaos.runner.faults.guarded_targets import choose_targets
from chaos.runner.faults.inject_and_release import Aim, Injection
from chaos.runner.faults.settings import host_names, networks_of, ports_of, whole_number
from chaos.runner.injectors.registry import Injector
from chaos.runner.targets import TargetPod, container_id, container_name, read_selection
from podsonar.errors import InputError

DEFAULT_SECONDS = 60
MIB = 1 << 20

Order = Callable[[FaultContext, Mapping[str, str]], InjectionOrder]
"""The order of a fault but for pod, container and time, from its settings."""


def cpu_hog(_context: FaultContext, settings: Mapping[str, str]) -> InjectionOrder:
    """`CPU_CORES` processes, each with `CPU_LOAD` percent of a processor, in the target container's cgroup."""
    workers = whole_number(settings, "CPU_CORES", 1, 1, 256)
    load = whole_number(settings, "CPU_LOAD", 100, 1, 100)
    return InjectionOrder("cpu-stress", "", 1, workers=workers, load=load)


def memory_hog(_context: FaultContext, settings: Mapping[str, str]) -> InjectionOrder:
    """`MEMORY_CONSUMPTION` MiB, held by `NUMBER_OF_WORKERS` processes in the target container's cgroup."""
    size = whole_number(settings, "MEMORY_CONSUMPTION", 500, 1, 1 << 22)
    workers = whole_number(settings, "NUMBER_OF_WORKERS", 1, 1, 64)
    return InjectionOrder("memory-stress", "", 1, bytes=size * MIB, workers=workers)


def narrow(settings: Mapping[str, str]) -> Destination:
    """Whom a network fault is about; InputError where it would be everybody and that was not said."""
    found = Destination(networks_of(settings), ports_of(settings, "DESTINATION_PORTS"))
    if not (found.networks or found.ports or settings.get("ALL_TRAFFIC", "").lower() == "true"):
        raise InputError("expected DESTINATION_IPS, DESTINATION_HOSTS, DESTINATION_PORTS, or ALL_TRAFFIC=true")
    return found


def loss(settings: Mapping[str, str], destination: Destination) -> InjectionOrder:
    """`NETWORK_PACKET_LOSS_PERCENTAGE` of the packets that the pod receives from a destination."""
    percent = whole_number(settings, "NETWORK_PACKET_LOSS_PERCENTAGE", 100, 1, 100)
    return InjectionOrder("packet-loss", "", 1, percent=percent, networks=destination.networks, ports=destination.ports)


def latency(settings: Mapping[str, str], destination: Destination) -> InjectionOrder:
    """What the pod sends to a destination arrives `NETWORK_LATENCY` ms later, give or take `JITTER` ms."""
    delay = whole_number(settings, "NETWORK_LATENCY", 2000, 1, MAX_DELAY)
    jitter = whole_number(settings, "JITTER", 0, 0, delay)
    return InjectionOrder(
        "packet-delay",
        "",
        1,
        milliseconds=delay,
        jitter=jitter,
        networks=destination.networks,
        ports=destination.ports,
    )


def partition(destination: Destination) -> InjectionOrder:
    """Every packet between the pod and a destination, both ways."""
    return InjectionOrder("packet-loss", "", 1, networks=destination.networks, ports=destination.ports, partition=True)


def refusal(_context: FaultContext, settings: Mapping[str, str]) -> InjectionOrder:
    """Connects of the pod to a destination fail at once."""
    found = narrow(settings)
    return InjectionOrder("connect-refusal", "", 1, networks=found.networks, ports=found.ports)


def dns_error(_context: FaultContext, settings: Mapping[str, str]) -> InjectionOrder:
    """Answers to the pod's DNS questions are lost: those about `TARGET_HOSTNAMES`, or all; from `DESTINATION_PORTS`."""
    scheme = settings.get("MATCH_SCHEME") or "exact"
    if scheme != "exact":
        raise InputError(
            f"MATCH_SCHEME is {scheme[:20]!r}: expected exact, each name in full, such as cart.shop.svc.cluster.local"
        )
    return InjectionOrder(
        "dns-failure", "", 1, names=host_names(settings), ports=ports_of(settings, "DESTINATION_PORTS") or (53,)
    )


ORDERS: Mapping[str, Order] = {
    "pod-cpu-hog": cpu_hog,
    "pod-memory-hog": memory_hog,
    "pod-network-loss": lambda _context, settings: loss(settings, narrow(settings)),
    "pod-network-latency": lambda _context, settings: latency(settings, narrow(settings)),
    "pod-network-partition": lambda _context, settings: partition(narrow(settings)),
    "pod-connect-refused": refusal,
    "pod-dns-error": dns_error,
    "edge-loss": lambda context, settings: loss(settings, find_destination(context.objects, settings)),
    "edge-latency": lambda context, settings: latency(settings, find_destination(context.objects, settings)),
    "edge-partition": lambda context, settings: partition(find_destination(context.objects, settings)),
}


def aims_at(
    context: FaultContext, pods: Sequence[TargetPod], order: InjectionOrder, wanted: str, *, container: bool
) -> list[Aim]:
    """The order for each pod; with `container` for the container of that name, else for its first."""
    aims = []
    for pod in pods:
        name = ""
        changed = msgspec.structs.replace(order, pod=pod.uid)
        if order.kind == "packet-delay":
            changed = msgspec.structs.replace(changed, address=pod.address)
        if container:
            body = context.objects.get(pod.object_name)
            if body is None or body["metadata"]["uid"] != pod.uid:
                raise InputError(f"pod {pod.namespace}/{pod.name} is gone: expected it to run")
            name = container_name(body, wanted)
            changed = msgspec.structs.replace(changed, container=container_id(body, name))
        aims.append(Aim(pod, changed, name))
    return aims


def held_fault(make_order: Order) -> Fault:
    """A fault that injectors hold for TOTAL_CHAOS_DURATION; one pod after the other they share that time."""

    def run(context: FaultContext, targets: Mapping[str, Any], settings: Mapping[str, str]) -> str:
        duration = whole_number(settings, "TOTAL_CHAOS_DURATION", DEFAULT_SECONDS, 1)
        ramp = whole_number(settings, "RAMP_TIME", 0)
        selection, order = read_selection(settings), make_order(context, settings)
        in_container = order.kind in {"cpu-stress", "memory-stress"}
        context.wait(ramp)
        pods = choose_targets(context, targets, selection)
        groups = [pods] if selection.parallel else [[pod] for pod in pods]
        part = msgspec.structs.replace(order, seconds=duration / len(groups))
        ended: list[Injector] = []
        for group in groups:
            if not context.stopped():
                wanted = settings.get("TARGET_CONTAINER", "")
                ended += Injection(context).run(aims_at(context, group, part, wanted, container=in_container))
        context.wait(ramp)
        return outcome(ended)

    return run


def outcome(ended: Sequence[Injector]) -> str:
    """What injectors did: how many pods, how each fault ended, and its own counters."""
    totals: dict[str, float] = {}
    for one in ended:
        for name, value in one.counters.items():
            totals[name] = totals.get(name, 0.0) + value
    ways = sorted({one.by or "not confirmed" for one in ended})
    counters = ", ".join(f"{name} {value:.10g}" for name, value in sorted(totals.items()))
    return f"{len(ended)} pods, released by {', '.join(ways) or 'nobody'}{f'; {counters}' if counters else ''}"


HELD_FAULTS: Mapping[str, Fault] = {name: held_fault(order) for name, order in ORDERS.items()}
