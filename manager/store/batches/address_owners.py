"""The objects that ever had an address, as far as they are kept."""

from collections.abc import Collection, Iterator

import orjson
from sqlalchemy import select

from manager.store.database import Store
from manager.store.tables import OBJECTS


def owners_of(store: Store, agent_id: str, addresses: Collection[str]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """(address, kind, fields) of pods, Services and nodes with one of the addresses; objects that are gone as well."""
    columns = [OBJECTS.c[name] for name in ("kind", "uid", "namespace", "name", "created_ns", "removed_ns")]
    for kind in ("Pod", "Node", "Service"):
        content = OBJECTS.c.body if kind == "Service" else OBJECTS.c.facts
        wanted = select(*columns, content).where(OBJECTS.c.agent_id == agent_id, OBJECTS.c.kind == kind)
        with store.reading() as connection:
            for row in connection.execute(wanted.order_by(OBJECTS.c.created_ns, OBJECTS.c.uid)):
                *_, text = row
                if not any(address.encode() in text for address in addresses):
                    continue
                parsed = orjson.loads(text)
                own = service_addresses(parsed) if kind == "Service" else parsed["ips"]
                for address in sorted(set(own).intersection(addresses)):
                    host = bool(parsed.get("hostNetwork")) if kind == "Pod" else False
                    yield address, kind, dict(row._mapping) | {"host_network": host}  # noqa: SLF001 - SQLAlchemy's name


def service_addresses(body: dict[str, object]) -> list[str]:
    """Every address of a Service."""
    spec, status = body.get("spec"), body.get("status")
    found: list[str] = []
    if isinstance(spec, dict):
        for name in ("clusterIPs", "externalIPs"):
            found += [one for one in spec.get(name) or [] if isinstance(one, str)]
        found += [one for one in (spec.get("clusterIP"), spec.get("loadBalancerIP")) if isinstance(one, str)]
    balancer = status.get("loadBalancer") if isinstance(status, dict) else None
    ingress = balancer.get("ingress") if isinstance(balancer, dict) else None
    found += [str(one["ip"]) for one in ingress or [] if isinstance(one, dict) and one.get("ip")]
    return found
