"""Whom a network fault is about: addresses and ports; of a Service those that its clients connect to.

Inside a client's pod the other end of a Service is its ClusterIP, or with load balancing at the socket a backend: both
are meant (kube-proxy and Cilium). Backends that come later are not: behind a ClusterIP they need not be.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from chaos.faults.network_rule import MAX_NETWORKS, MAX_PORTS
from chaos.runner.faults.settings import ports_of
from cluster_api.objects import Objects
from cluster_api.resources import ObjectName, Resource
from podsonar.errors import InputError

SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", namespaced=True)


class Destination(NamedTuple):
    """Addresses or networks, and ports; empty for any."""

    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


def service_of(settings: Mapping[str, str]) -> tuple[str, str]:
    """Namespace and name of DESTINATION_SERVICE."""
    namespace, slash, name = settings.get("DESTINATION_SERVICE", "").strip().partition("/")
    if not (slash and namespace and name):
        raise InputError("DESTINATION_SERVICE: expected namespace/name of the service at the edge's other end")
    return namespace, name


def find_destination(objects: Objects, settings: Mapping[str, str]) -> Destination:
    """The addresses and ports of DESTINATION_SERVICE, of all its ports or those of DESTINATION_PORTS."""
    namespace, name = service_of(settings)
    service = objects.get(ObjectName("v1", "Service", namespace, name))
    if service is None:
        raise InputError(f"DESTINATION_SERVICE {namespace}/{name} is not there: expected an existing Service")
    wanted = set(ports_of(settings, "DESTINATION_PORTS"))
    ports = {one["port"]: one.get("name", "") for one in service["spec"].get("ports") or []}
    if missing := sorted(wanted - set(ports)):
        raise InputError(f"DESTINATION_PORTS has {missing[0]}: expected ports of Service {namespace}/{name}")
    chosen = wanted or set(ports)
    slices = objects.list(SLICES, namespace, f"kubernetes.io/service-name={name}")
    networks = {one for one in service["spec"].get("clusterIPs") or [] if one and one != "None"}
    backends = sorted({address for one in slices for address in addresses(one)} - networks)
    numbers = chosen | set(backend_ports(slices, {ports[one] for one in chosen}))
    if len(networks) + len(backends) > MAX_NETWORKS or len(numbers) > MAX_PORTS:
        most = f"at most {MAX_NETWORKS} addresses and {MAX_PORTS} ports"
        raise InputError(f"Service {namespace}/{name} has {len(backends)} backends: expected {most}")
    if not networks and not backends:
        raise InputError(f"Service {namespace}/{name} has no address: expected a ClusterIP or backends")
    return Destination((*sorted(networks), *backends), tuple(sorted(numbers)))


def addresses(endpoint_slice: Mapping[str, Any]) -> Iterator[str]:
    """The addresses of a slice."""
    for endpoint in endpoint_slice.get("endpoints") or []:
        yield from endpoint.get("addresses") or []


def backend_ports(slices: list[dict[str, Any]], names: set[str]) -> Iterator[int]:
    """The ports on which backends of a service's ports listen; slices repeat the service's names of ports."""
    for one in slices:
        for port in one.get("ports") or []:
            if port.get("port") and (port.get("name") or "") in names:
                yield port["port"]
