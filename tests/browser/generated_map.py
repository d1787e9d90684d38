"""Maps as the API answers them, of clusters of any size: the same for the same arguments.

A cluster has an entry, teams whose namespaces have a front, services behind it and stores of their own, namespaces
that all use (identity, messages, monitoring), addresses outside, and a few that are not resolved. A few edges fail.
"""

import random
from collections.abc import Iterator
from typing import Any

WINDOW = "2026-11-24T10:15:00Z"
EARLIER = "2026-11-24T10:00:00Z"
TEAMS = [
    "checkout",
    "payments",
    "catalog",
    "search",
    "cart",
    "pricing",
    "shipping",
    "returns",
    "loyalty",
    "invoicing",
    "ledger",
    "fraud-detection",
    "accounts",
    "recommendations",
    "inventory",
    "warehouse-management",
    "supplier-portal",
    "notifications",
    "email-delivery",
    "content",
    "media-processing",
    "reviews",
    "analytics",
    "reporting",
    "data-platform",
    "experiments",
    "feature-flags",
    "customer-support",
    "chat",
    "translations",
    "tax",
    "gift-cards",
    "subscriptions",
    "marketplace-onboarding",
    "store-locator",
    "promotions",
    "price-import",
    "image-resizer",
    "partner-api",
    "mobile-backend",
]
SHARED = ("ingress", "identity", "messaging", "monitoring", "kube-system")
ROLES = [
    "api",
    "web",
    "worker",
    "scheduler",
    "gateway",
    "cache",
    "store",
    "indexer",
    "importer",
    "exporter",
    "sync",
    "events",
    "admin",
    "query",
    "writer",
    "reader",
]
STORES = (("postgres", "5432"), ("redis", "6379"), ("kafka", "9092"), ("elasticsearch", "9200"))
REFUSED, TIMED_OUT = 111, 110


def namespaces_of(number: int) -> list[str]:
    """Names of that many namespaces: shared ones first, then teams, then teams by stage."""
    names = [*SHARED, *TEAMS]
    stages = ("", "-staging", "-eu", "-us", "-batch")
    return [f"{names[place % len(names)]}{stages[place // len(names)]}" for place in range(number)]


def service(namespace: str, name: str, kind: str = "Service", pods: int = 2) -> dict[str, Any]:
    """A place of the map."""
    prefix = {"Service": "service", "Workload": "deployment"}.get(kind, kind.lower())
    known = kind in {"Service", "Workload"}
    workloads = [
        {"kind": "Deployment", "namespace": namespace, "name": f"{name}-app", "uid": f"uid-{namespace}-{name}"}
    ]
    return {
        "id": f"{prefix}/{namespace}/{name}" if namespace else f"{prefix}/{name}",
        "name": name,
        "namespace": namespace,
        "kind": kind,
        "pods": pods if known else 0,
        "workloads": workloads if known else [],
        "labels": labels_of(namespace, name) if known else {},
    }


def labels_of(namespace: str, name: str) -> dict[str, str]:
    """Labels of a place: its name, and the team of its namespace; what all share belongs to no team."""
    team = next((one for one in TEAMS if namespace == one or namespace.startswith(f"{one}-")), None)
    return {"app.kubernetes.io/name": name} | ({"team": team} if team else {})


def services_of(number: int, namespaces: list[str], dice: random.Random) -> list[dict[str, Any]]:
    """Services by namespace: a few namespaces are large, most are small; each has two kinds of names."""
    weights = [1 / (1 + place % 11) for place in range(len(namespaces))]
    homes = [*namespaces, *dice.choices(namespaces, weights, k=max(0, number - len(namespaces)))][:number]
    seen: dict[str, int] = {}
    found = []
    for namespace in homes:
        place = seen.get(namespace, 0)
        seen[namespace] = place + 1
        role = ROLES[place % len(ROLES)]
        turn = place // len(ROLES)
        name = f"{namespace}-{role}" if not turn else f"{namespace}-{role}-{turn + 1}"
        if place % 5 == 3:
            name = STORES[place % len(STORES)][0] if not turn else f"{STORES[place % len(STORES)][0]}-{turn + 1}"
        found.append(service(namespace, name, "Workload" if place % 9 == 8 else "Service", 1 + place % 4))
    return list({one["id"]: one for one in found}.values())


def edge(
    source: dict[str, Any], destination: dict[str, Any], port: str, attempts: int, failed: int = 0
) -> dict[str, Any]:
    """An edge of the map, with pods at both ends."""
    inside = destination["kind"] in {"Service", "Workload"}
    established = attempts - failed
    accepted = established if inside else None
    backends = [
        {"pod": f"{destination['namespace']}/{destination['name']}-7d9f{n}", "accepted": established // 2}
        for n in (1, 2)
    ]
    return {
        "source": source["id"],
        "destination": destination["id"],
        "port": port,
        "type": "TCP",
        "attempts": attempts,
        "established": established,
        "failed": failed,
        "lastErrno": (TIMED_OUT if attempts % 2 else REFUSED) if failed else None,
        "openedBefore": attempts % 7 == 0,
        "accepted": accepted,
        "bothEnds": None if accepted is None else accepted > 0,
        "inSums": False,
        "sourcePods": [f"{source['namespace']}/{source['name']}-5c4b{n}" for n in (1, 2)],
        "backends": backends if accepted else [],
        "reasons": ["owner_not_certain"] if destination["kind"] == "Unresolved" else [],
    }


def pairs_of(services: list[dict[str, Any]], dice: random.Random) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs without end: within a namespace from front to back, else to another front or to what all share."""
    by_space: dict[str, list[dict[str, Any]]] = {}
    for one in services:
        by_space.setdefault(one["namespace"], []).append(one)
    spaces = list(by_space)
    shared = [one for name in spaces if name in SHARED[1:] for one in by_space[name]] or services[-1:]
    neighbours = {
        name: [spaces[(place * 3 + step) % len(spaces)] for step in (1, 2, 5)] for place, name in enumerate(spaces)
    }
    while True:
        source = dice.choice(services)
        own = by_space[source["namespace"]]
        turn = dice.random()
        if turn < 0.6 and len(own) > 1:
            place = own.index(source)
            target = own[min(len(own) - 1, place + 1 + int(dice.expovariate(0.4)))]
        elif turn < 0.85:
            target = by_space[dice.choice(neighbours[source["namespace"]])][0]
        else:
            target = dice.choice(shared)
        if target is not source:
            yield source, target


def port_of(destination: dict[str, Any]) -> str:
    """The port that a service of that name has."""
    for store, port in STORES:
        if destination["name"].startswith(store):
            return port
    return "8080" if destination["kind"] == "Workload" else "80"


def edges_of(services: list[dict[str, Any]], number: int, dice: random.Random) -> list[dict[str, Any]]:
    """Edges between services and to addresses; one of 150 fails in part, one of 400 as a whole."""
    outside = [service("", f"203.0.113.{n}", "External") for n in range(1, min(40, 3 + len(services) // 30))]
    outside += [service("", f"10.1.9.{n}", "Unresolved") for n in range(1, min(12, 2 + len(services) // 60))]
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    pairs = pairs_of(services, dice)
    while len(found) < number:
        source, target = next(pairs)
        if dice.random() < 0.05:
            target = dice.choice(outside)
        port = "443" if target in outside else port_of(target)
        attempts = int(dice.lognormvariate(3.5, 1.6)) + 1
        place = len(found)
        failed = attempts if place % 400 == 41 else attempts // 5 + 1 if place % 150 == 17 else 0
        found.setdefault(
            (source["id"], target["id"], port), edge(source, target, port, attempts, min(failed, attempts))
        )
    services.extend(outside)
    return [found[key] for key in sorted(found)]


SCANNER = {"kind": "Pod", "uid": "uid-scanner", "namespace": "lab", "name": "scanner-1"}


def generate_map(services: int, edges: int, namespaces: int, seed: int = 1) -> dict[str, Any]:
    """The answer of `GET /agents/{id}/map` for a cluster of that size."""
    dice = random.Random(seed)  # noqa: S311 - a repeatable sequence is what is wanted
    places = services_of(services, namespaces_of(namespaces), dice)
    lines = edges_of(places, edges, dice)
    attempts = sum(one["attempts"] for one in lines)
    counts = {
        "attempts": attempts,
        "delivered": attempts,
        "lost": {},
        "filtered": {"source_not_a_pod": 311},
        "unresolved": {"identity_conflict": 17},
        "incomplete": {"names_full": 5},
        "openedBefore": {"delivered": 41, "leftOut": {"shared_socket": 3}, "notRead": {"processes_hidden": 7}},
        "accepted": {"openedBefore": {"delivered": 37, "leftOut": {"shared_socket": 2}}},
        "scan": [
            {"pod": SCANNER, "end": "source", "ports": "1024-49151", "attempts": 471293, "established": 0},
            {"pod": SCANNER, "end": "destination", "ports": "0-1023", "accepted": 61},
        ],
    }
    whole = {"observed": "whole", "reason": None, "start": None, "end": None}
    recall = {"value": 0.9931, "accepted": 14593, "explained": 14493, "notComparable": {"remote_is_a_node": 1201}}
    return {
        "window": {"start": "2026-11-24T10:15:00.000000Z", "end": "2026-11-24T10:20:00.000000Z", "id": WINDOW},
        "windows": [WINDOW, EARLIER],
        "services": sorted(places, key=lambda one: one["id"]),
        "edges": lines,
        "recall": recall | {"nodes": {"node-a": recall}},
        "observation": {"node-a": counts},
        "inventory": {
            "window": WINDOW,
            "state": "complete",
            "waitingParts": 0,
            "incompleteKinds": {"Service": "forbidden", "CronJob": "unsupported"},
        },
        "coverage": {"node-a": whole, "node-b": whole | {"observed": "none", "reason": "no_report"}},
    }


def changed_map(newer: dict[str, Any], added: int, removed: int, changed: int) -> dict[str, Any]:
    """The map of the window before: without `added` of the edges, with `removed` others, `changed` of them failing."""
    lines = [dict(one) for one in newer["edges"]]
    kept = lines[added:]
    for one in kept[:changed]:
        one.update({"failed": one["attempts"] if not one["failed"] else 0})
        one["established"] = one["attempts"] - one["failed"]
    gone = [one | {"port": "6000"} for one in kept[-removed:]] if removed else []
    window = {"start": "2026-11-24T10:00:00.000000Z", "end": "2026-11-24T10:05:00.000000Z", "id": EARLIER}
    return newer | {"window": window, "edges": kept + gone}
