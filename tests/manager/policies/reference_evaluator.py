"""A second evaluator of network policies, written to another plan: it expands everything into sets of triples.

For each policy the set of (source, destination, port) that it allows in each direction is built by going through all
ends and ports there are. A connection passes if it is in the union of those that isolate it, or nothing isolates it.
It takes policies as plain dictionaries, as YAML has them, and shares no code with the one that it is compared with.
"""

import ipaddress
from collections.abc import Iterable
from itertools import product
from typing import Any

Triple = tuple[str, str, int]


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """All conditions of a selector as one list of truth values."""
    conditions = [(key, "In", [value]) for key, value in selector.get("matchLabels", {}).items()]
    conditions += [(one["key"], one["operator"], one.get("values", [])) for one in selector.get("matchExpressions", [])]
    verdicts = []
    for key, operator, values in conditions:
        have = {labels[key]} if key in labels else set()
        if operator == "In":
            verdicts.append(bool(have & set(values)))
        elif operator == "NotIn":
            verdicts.append(not have & set(values))
        else:
            verdicts.append(bool(have) == (operator == "Exists"))
    return False not in verdicts


def far_ends(rule_peers: list[dict[str, Any]] | None, namespace: str, world: dict[str, Any]) -> set[str]:
    """The names of all ends that a rule's peers mean."""
    if not rule_peers:
        return set(world["ends"])
    found: set[str] = set()
    for peer in rule_peers:
        if "ipBlock" in peer:
            inside = ipaddress.ip_network(peer["ipBlock"]["cidr"])
            holes = [ipaddress.ip_network(one) for one in peer["ipBlock"].get("except", [])]
            for name, end in world["ends"].items():
                for ip in map(ipaddress.ip_address, end["ips"]):
                    if ip in inside and all(ip not in hole for hole in holes):
                        found.add(name)
            continue
        if "namespaceSelector" in peer:
            spaces = {name for name, labels in world["spaces"].items() if matches(peer["namespaceSelector"], labels)}
        else:
            spaces = {namespace}
        for name, end in world["ends"].items():
            if (
                end["pod"]
                and not end["host"]
                and end["space"] in spaces
                and matches(peer.get("podSelector", {}), end["labels"])
            ):
                found.add(name)
    return found


def port_numbers(ports: list[dict[str, Any]] | None, listener: dict[str, Any], every: Iterable[int]) -> set[int]:
    """The TCP port numbers that a rule's ports mean at a listener, of those there are."""
    if not ports:
        return set(every)
    found: set[int] = set()
    for one in ports:
        if one.get("protocol", "TCP") != "TCP":
            continue
        if "port" not in one:
            found |= set(every)
        elif isinstance(one["port"], str):
            found |= {number for name, number in listener["ports"].items() if name == one["port"]}
        else:
            found |= set(range(one["port"], one.get("endPort", one["port"]) + 1)) & set(every)
    return found


def passing(policies: list[dict[str, Any]], world: dict[str, Any], every: list[int]) -> set[Triple]:
    """All (source, destination, port) that pass."""
    ends = world["ends"]
    everything = set(product(ends, ends, every))
    for direction in ("Ingress", "Egress"):
        isolated: set[str] = set()
        allowed: set[Triple] = set()
        for policy in policies:
            spec, space = policy["spec"], policy["metadata"]["namespace"]
            kinds = spec.get("policyTypes") or (["Ingress"] + (["Egress"] if spec.get("egress") else []))
            if direction not in kinds:
                continue
            chosen = {
                name
                for name, end in ends.items()
                if end["pod"]
                and not end["host"]
                and end["space"] == space
                and matches(spec["podSelector"], end["labels"])
            }
            isolated |= chosen
            for rule in spec.get(direction.lower()) or []:
                far = far_ends(rule.get("from" if direction == "Ingress" else "to"), space, world)
                for own, other in product(chosen, far):
                    source, target = (other, own) if direction == "Ingress" else (own, other)
                    numbers = port_numbers(rule.get("ports"), ends[target], every)
                    allowed |= {(source, target, number) for number in numbers}
        for source, target, number in sorted(everything):
            subject = target if direction == "Ingress" else source
            own_node = direction == "Ingress" and ends[source]["host"] and ends[source]["node"] == ends[target]["node"]
            if source == target or subject not in isolated or own_node:
                continue
            if (source, target, number) not in allowed:
                everything.discard((source, target, number))
    return everything
