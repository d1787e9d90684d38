"""What an injector is ordered to do: the fault, the pod's UID, the container's id. Pure but for looking up cgroups."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chaos.faults.fault import (
    ConnectRefusal,
    CpuStress,
    DnsFailure,
    Fault,
    InjectionError,
    MemoryStress,
    PacketDelay,
    PacketLoss,
)
from chaos.faults.pod_cgroups import PodCgroups, find_pod_cgroups

Kind = Literal[
    "cpu-stress", "memory-stress", "packet-loss", "packet-delay", "connect-refusal", "dns-failure", "container-kill"
]
NEEDS_CONTAINER = frozenset({"cpu-stress", "memory-stress", "container-kill"})


class InjectionOrder(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault on one pod; `seconds` is the longest that it may last. Members beside are those of the kind."""

    kind: Kind
    pod: str
    seconds: Annotated[float, msgspec.Meta(gt=0, le=3600)]
    container: str = ""
    workers: int = 1
    load: int = 100
    bytes: int = 0
    percent: float = 100.0
    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    protocol: int = 0
    partition: bool = False
    errno: int = 111
    names: tuple[str, ...] = ()
    address: str = ""
    milliseconds: int = 0
    jitter: int = 0


def read_order(text: str) -> InjectionOrder:
    """The order of a pod's environment; InjectionError says which member is wrong."""
    try:
        order = msgspec.json.decode(text, type=InjectionOrder)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise InjectionError(f"order: {error}") from error
    if (order.kind in NEEDS_CONTAINER) != bool(order.container):
        raise InjectionError(
            f"order: {order.kind} with container {order.container[:12]!r}: expected one if it needs it"
        )
    return order


def find_target(order: InjectionOrder, root: Path) -> PodCgroups:
    """The cgroups that the order means; InjectionError if they are not there."""
    return find_pod_cgroups(root, order.pod, order.container)


def fault_of(order: InjectionOrder, target: PodCgroups) -> Fault:
    """The fault to hold, in the target's cgroups."""
    if order.kind == "cpu-stress":
        return CpuStress(order.workers, order.load, target.container)
    if order.kind == "memory-stress":
        return MemoryStress(order.workers, order.bytes, target.container)
    if order.kind == "connect-refusal":
        return ConnectRefusal(target.unified_pod, order.networks, order.ports, order.errno)
    if order.kind == "dns-failure":
        return DnsFailure(target.unified_pod, order.names, order.ports)
    if order.kind == "packet-delay":
        return PacketDelay(
            target.unified_pod,
            order.address,
            order.milliseconds,
            order.jitter,
            networks=order.networks,
            remote_ports=order.ports,
            protocol=order.protocol,
        )
    return PacketLoss(
        target.unified_pod,
        order.percent,
        networks=order.networks,
        remote_ports=order.ports,
        protocol=order.protocol,
        partition=order.partition,
    )
