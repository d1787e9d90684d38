"""NetworkPolicy (networking.k8s.io/v1) as values; what the API server would refuse is refused here.

https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
"""

import ipaddress
from typing import Any, Literal

import msgspec

from podsonar.errors import InputError
from podsonar.yaml_text import NotYamlError, load_documents

Protocol = Literal["TCP", "UDP", "SCTP"]


class Requirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An element of `matchExpressions`."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class Selector(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A label selector; an empty one selects everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class IpBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range of addresses without some."""

    cidr: str
    except_: list[str] | None = msgspec.field(name="except", default=None)


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Whom a rule allows."""

    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What port a rule allows; none: every port of the protocol."""

    port: int | str | None = None
    protocol: Protocol = "TCP"
    end_port: int | None = None


class IngressRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may connect to the selected pods; nobody named: everybody."""

    from_: list[Peer] | None = msgspec.field(name="from", default=None)
    ports: list[PolicyPort] | None = None

    @property
    def peers(self) -> list[Peer]:
        """The far ends."""
        return self.from_ or []


class EgressRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To what the selected pods may connect; nothing named: to everything."""

    to: list[Peer] | None = None
    ports: list[PolicyPort] | None = None

    @property
    def peers(self) -> list[Peer]:
        """The far ends."""
        return self.to or []


class PolicySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a policy says."""

    pod_selector: Selector = Selector()
    policy_types: list[Literal["Ingress", "Egress"]] | None = None
    ingress: list[IngressRule] | None = None
    egress: list[EgressRule] | None = None

    def isolates(self, direction: Literal["Ingress", "Egress"]) -> bool:
        """Whether the selected pods are isolated in that direction: as said, else as the API server adds it."""
        if self.policy_types:
            return direction in self.policy_types
        return direction == "Ingress" or bool(self.egress)


class Metadata(msgspec.Struct, frozen=True):
    """Name and namespace of a policy."""

    name: str
    namespace: str = "default"


class Policy(msgspec.Struct, frozen=True):
    """One policy."""

    metadata: Metadata
    spec: PolicySpec

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


def read_policies(text: str, source: str) -> list[Policy]:
    """The policies in YAML documents or Lists of them; InputError with the place of what is none."""
    try:
        documents = [one for one in load_documents(text) if one is not None]
    except NotYamlError as error:
        raise InputError(f"{source}: not YAML: {error}; expected network policies") from error
    found = []
    for number, document in enumerate(flat(documents), 1):
        place = f"{source}, document {number}"
        if not isinstance(document, dict) or document.get("kind") != "NetworkPolicy":
            raise InputError(f"{place}: expected kind NetworkPolicy")
        if document.get("apiVersion") != "networking.k8s.io/v1":
            raise InputError(f"{place}: apiVersion is {document.get('apiVersion')!r}, expected networking.k8s.io/v1")
        try:
            policy = msgspec.convert(document, Policy)
        except msgspec.ValidationError as error:
            raise InputError(f"{place}: {error}") from error
        check_policy(policy, place)
        found.append(policy)
    if not found:
        raise InputError(f"{source}: holds no NetworkPolicy, expected one or several")
    return found


def flat(documents: list[Any]) -> list[Any]:
    """Documents, with those inside of a List in place of it."""
    found: list[Any] = []
    for one in documents:
        inside = one.get("items") if isinstance(one, dict) and str(one.get("kind", "")).endswith("List") else None
        found += inside if isinstance(inside, list) else [one]
    return found


def check_policy(policy: Policy, place: str) -> None:
    """InputError for what the API server refuses: mixed peers, bad ranges, an end port without a number."""
    spec = policy.spec
    check_selector(spec.pod_selector, place)
    rules: list[IngressRule | EgressRule] = [*(spec.ingress or ()), *(spec.egress or ())]
    for rule in rules:
        for peer in rule.peers:
            check_peer(peer, place)
        for port in rule.ports or ():
            check_port(port, place)


def check_peer(peer: Peer, place: str) -> None:
    """InputError unless a peer names an address range or selectors, and a range that there is."""
    block = peer.ip_block
    if (block is None) == (peer.pod_selector is None and peer.namespace_selector is None):
        raise InputError(f"{place}: a peer has either ipBlock, or podSelector, namespaceSelector or both")
    for selector in (peer.pod_selector, peer.namespace_selector):
        if selector is not None:
            check_selector(selector, place)
    if block is None:
        return
    try:
        whole = ipaddress.ip_network(block.cidr)
        parts = [ipaddress.ip_network(one) for one in block.except_ or ()]
    except ValueError as error:
        raise InputError(f"{place}: ipBlock {block.cidr!r}: {error}") from error
    for part in parts:
        if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
            raise InputError(f"{place}: except {part} is no part of {whole}")


def check_selector(selector: Selector, place: str) -> None:
    """InputError unless each operator has the values that it wants."""
    for one in selector.match_expressions or ():
        if bool(one.values) == (one.operator in {"Exists", "DoesNotExist"}):
            raise InputError(f"{place}: operator {one.operator} of key {one.key!r} has wrong values")


def check_port(port: PolicyPort, place: str) -> None:
    """InputError for a port that there is not, or an end port that ends nothing."""
    if isinstance(port.port, int) and not 1 <= port.port <= 65535:
        raise InputError(f"{place}: port {port.port}, expected 1 to 65535")
    if port.end_port is None:
        return
    if not isinstance(port.port, int) or not port.port <= port.end_port <= 65535:
        raise InputError(f"{place}: endPort {port.end_port} wants a port number that is not greater")
