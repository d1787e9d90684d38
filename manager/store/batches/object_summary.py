"""The summary of a Kubernetes object that maps and joins need, made once when the object is stored.

The object has been through manager/schema/object_fields.py: members that are read here have their kind's types.
"""

from collections.abc import Mapping
from typing import Any

from podsonar.errors import InputError
from podsonar.timestamp import parse_rfc3339


def mapping(value: object) -> Mapping[str, Any]:
    """`value` if it is a mapping, an empty one otherwise: objects come from elsewhere."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> list[Mapping[str, Any]]:
    """The mappings in `value` if it is a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def created_ns(item: Mapping[str, Any]) -> int:
    """The creation time of the object at the API server; 0 if it has none."""
    try:
        return parse_rfc3339(str(mapping(item.get("metadata")).get("creationTimestamp")))
    except InputError:
        return 0


def summarize_object(kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """The summary of one object: identity and owner for all kinds, then what its kind needs."""
    metadata, spec, status = (mapping(item.get(part)) for part in ("metadata", "spec", "status"))
    owners = items(metadata.get("ownerReferences"))
    owner = next((one for one in owners if one.get("controller")), None)
    found: dict[str, Any] = {
        "uid": metadata.get("uid"),
        "namespace": metadata.get("namespace") or "",
        "name": metadata.get("name"),
        "owner": {part: owner.get(part) for part in ("apiVersion", "kind", "name", "uid")} if owner else None,
    }
    if kind == "Pod":
        found["labels"] = dict(mapping(metadata.get("labels")))
        found["node"] = spec.get("nodeName")
        found["hostNetwork"] = bool(spec.get("hostNetwork"))
        found["phase"] = status.get("phase")
        listed = [one.get("ip") for one in items(status.get("podIPs"))]
        found["ips"] = [ip for ip in listed or [status.get("podIP")] if ip]
        found["ports"] = {
            str(port["name"]): port.get("containerPort")
            for container in items(spec.get("containers"))
            for port in items(container.get("ports"))
            if port.get("name")
        }
        found["hostPorts"] = [
            (port["hostPort"], port["containerPort"])
            for container in items(spec.get("containers"))
            for port in items(container.get("ports"))
            if port.get("hostPort") and port.get("containerPort") and not found["hostNetwork"]
        ]
    elif kind == "Service":
        found["labels"] = dict(mapping(metadata.get("labels")))
        found["selector"] = dict(mapping(spec.get("selector")))
        found["ports"] = [
            {
                "port": port.get("port"),
                "target": port.get("targetPort", port.get("port")),
                "name": port.get("name"),
                "nodePort": port.get("nodePort"),
            }
            for port in items(spec.get("ports"))
        ]
    elif kind == "Node":
        found["ips"] = [one.get("address") for one in items(status.get("addresses")) if "IP" in str(one.get("type"))]
        found["podCIDRs"] = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return found
