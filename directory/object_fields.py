"""Fields of Kubernetes objects as values: whatever is stored in a field, reading it raises nothing.

A field of another type counts as absent. An object without an identity is rejected as a whole (`InputError`): nothing
can be noted of it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from podsonar.errors import InputError
from podsonar.object_identity import identity_fault

MOST_PORT = 65535
EMPTY: Mapping[str, Any] = {}


class Identity(NamedTuple):
    """Who an object is."""

    uid: str
    namespace: str
    name: str


def mapping_at(obj: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the mapping in a field; empty for anything else."""
    value = obj.get(key)
    return value if isinstance(value, Mapping) else EMPTY


def text_at(obj: Mapping[str, Any], key: str) -> str:
    """Return the text in a field; empty for anything else."""
    value = obj.get(key)
    return value if isinstance(value, str) else ""


def mappings_at(obj: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; elements of other types are left out."""
    value = obj.get(key)
    return [element for element in value if isinstance(element, Mapping)] if isinstance(value, list) else []


def texts_at(obj: Mapping[str, Any], key: str) -> list[str]:
    """Return the texts in a list; elements of other types and empty ones are left out."""
    value = obj.get(key)
    return [element for element in value if isinstance(element, str) and element] if isinstance(value, list) else []


def port_at(obj: Mapping[str, Any], key: str) -> int | None:
    """Return the port number in a field; None for anything else."""
    value = obj.get(key)
    return value if type(value) is int and 0 < value <= MOST_PORT else None


def tcp_ports(ports: list[Mapping[str, Any]], key: str) -> list[int]:
    """Return the numbers in one field of the TCP ports among some."""
    numbers = [port_at(port, key) for port in ports if (text_at(port, "protocol") or "TCP") == "TCP"]
    return [number for number in numbers if number is not None]


def identity_of(obj: object) -> Identity:
    """Return an object's UID, namespace and name; InputError without a UID or a name."""
    fault = identity_fault(obj, namespaced=False)
    if fault or not isinstance(obj, Mapping):
        raise InputError(f"an object has no identity: {fault}")
    meta = mapping_at(obj, "metadata")
    return Identity(text_at(meta, "uid"), text_at(meta, "namespace"), text_at(meta, "name"))
