"""A Kubernetes object as every reader expects it: what has another type than its kind's API gives it is left out. Pure.

`clean_object` looks only at members that the manager reads; the others stay as they came.
"""

from collections.abc import Callable, Mapping
from typing import Any

from podsonar.errors import InputError
from podsonar.timestamp import parse_rfc3339

Member = Callable[[Any], Any]
UNFIT = object()


def text(value: object) -> object:
    """A text."""
    return value if isinstance(value, str) else UNFIT


def truth(value: object) -> object:
    """A truth value."""
    return value if isinstance(value, bool) else UNFIT


def port(value: object) -> object:
    """The number of a port."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535 else UNFIT


def port_or_name(value: object) -> object:
    """The number of a port, or its name."""
    return value if isinstance(value, str) else port(value)


def time(value: object) -> object:
    """A time that can be stored."""
    try:
        return value if isinstance(value, str) and parse_rfc3339(value) is not None else UNFIT
    except InputError:
        return UNFIT


class Cleaner:
    """Takes what does not fit out of one object and counts it."""

    def __init__(self) -> None:
        self.dropped = 0

    def member(self, owner: dict[str, Any], name: str, fits: Member) -> None:
        """Replace a member by its valid part, or remove it; a null is empty and is not counted."""
        if name not in owner:
            return
        kept = UNFIT if owner[name] is None else fits(owner[name])
        if kept is not UNFIT:
            owner[name] = kept
            return
        self.dropped += owner.pop(name) is not None

    def members(self, fields: Mapping[str, Member]) -> Member:
        """An object of these members, and others that nothing reads."""

        def fits(value: object) -> object:
            if not isinstance(value, dict):
                return UNFIT
            for name, inner in fields.items():
                self.member(value, name, inner)
            return value

        return fits

    def each(self, fits: Member) -> Member:
        """A list of such elements; others are taken out."""

        def elements(value: object) -> object:
            if not isinstance(value, list):
                return UNFIT
            kept = [found for item in value if (found := fits(item)) is not UNFIT]
            self.dropped += len(value) - len(kept)
            return kept

        return elements

    def texts(self, value: object) -> object:
        """A mapping of texts; others are taken out."""
        if not isinstance(value, dict):
            return UNFIT
        kept = {name: one for name, one in value.items() if isinstance(one, str)}
        self.dropped += len(value) - len(kept)
        return kept


def fields_of(kind: str, clean: Cleaner) -> dict[str, Member]:
    """The members of a kind that are read."""
    owner = clean.members({"kind": text, "name": text, "uid": text, "controller": truth})
    metadata = {
        "labels": clean.texts,
        "annotations": clean.texts,
        "ownerReferences": clean.each(owner),
        "resourceVersion": text,
        "creationTimestamp": time,
        "deletionTimestamp": time,
    }
    spec: dict[str, Member] = {}
    status: dict[str, Member] = {}
    if kind == "Pod":
        ports = clean.each(clean.members({"name": text, "containerPort": port, "hostPort": port, "hostIP": text}))
        spec = {"nodeName": text, "hostNetwork": truth, "containers": clean.each(clean.members({"ports": ports}))}
        status = {"podIP": text, "hostIP": text, "phase": text, "podIPs": clean.each(clean.members({"ip": text}))}
    elif kind == "Service":
        of_port = {"port": port, "targetPort": port_or_name, "name": text, "nodePort": port, "protocol": text}
        texts = dict.fromkeys(("clusterIP", "externalName", "loadBalancerIP", "type"), text)
        lists = dict.fromkeys(("clusterIPs", "externalIPs"), clean.each(text))
        spec = {"selector": clean.texts, "ports": clean.each(clean.members(of_port)), **texts, **lists}
    elif kind == "Node":
        address = clean.members({"type": text, "address": text})
        spec = {"podCIDR": text, "podCIDRs": clean.each(text)}
        status = {"addresses": clean.each(address)}
    return {
        "apiVersion": text,
        "kind": text,
        "metadata": clean.members(metadata),
        "spec": clean.members(spec),
        "status": clean.members(status),
    }


def clean_object(kind: str, item: dict[str, Any]) -> int:
    """How many members were taken out of the object; it is changed in place."""
    clean = Cleaner()
    for name, fits in fields_of(kind, clean).items():
        clean.member(item, name, fits)
    return clean.dropped
