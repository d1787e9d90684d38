"""What was observed of a cluster, as network policies see it: pods with labels, and connections between them."""

from typing import Any

import msgspec


class ObservedPod(msgspec.Struct, frozen=True, rename="camel"):
    """A pod of a window; `ports` has the number of each named container port, by name and protocol `http/TCP`."""

    namespace: str
    name: str
    labels: dict[str, str]
    ips: list[str]
    ports: dict[str, int]
    node: str | None
    host_network: bool
    workload: str

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


class PodFlow(msgspec.Struct, frozen=True, rename="camel"):
    """Connections of one edge: pods that made them, and what they reached, as (pod or address, port).

    `destinations` are pods as `namespace/name` where `to_pods`, addresses else. `edge` names it for people.
    """

    edge: str
    sources: list[str]
    destinations: list[tuple[str, int]]
    to_pods: bool
    attempts: int
    protocol: str = "TCP"


class Observed(msgspec.Struct, frozen=True):
    """Pods, labels of namespaces, and flows of one or several windows."""

    windows: list[str]
    pods: dict[str, ObservedPod]
    namespaces: dict[str, dict[str, str]]
    flows: list[PodFlow]
    # What no policy can be made of, by reason: pods that are in no inventory.
    left_out: dict[str, int] = {}

    def wire(self) -> dict[str, Any]:
        """The JSON of all of it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def read_observed(content: bytes) -> Observed:
    """The value of its JSON."""
    return msgspec.json.decode(content, type=Observed)


def merge_observed(parts: list[Observed]) -> Observed:
    """What several windows had together; of a pod or namespace the last one's labels count."""
    pods: dict[str, ObservedPod] = {}
    namespaces: dict[str, dict[str, str]] = {}
    flows: dict[tuple[object, ...], PodFlow] = {}
    left_out: dict[str, int] = {}
    for part in parts:
        pods |= part.pods
        namespaces |= part.namespaces
        for reason, number in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + number
        for flow in part.flows:
            key = (flow.edge, tuple(flow.sources), tuple(flow.destinations), flow.protocol)
            before = flows.get(key)
            attempts = flow.attempts + (before.attempts if before else 0)
            flows[key] = msgspec.structs.replace(flow, attempts=attempts)
    windows = [window for part in parts for window in part.windows]
    return Observed(windows, pods, namespaces, list(flows.values()), left_out)
