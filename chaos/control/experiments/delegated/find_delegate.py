"""Which cluster's delegate brings a run's runner: the one that a person names, or that installed the run's agent."""

from sqlalchemy import Connection, select

from manager.installations.tasks import owned_by_agent
from manager.store.delegate_tables import DELEGATES
from manager.store.tables import AGENTS
from manager.store.tenancy import Tenant, of_tenant
from podsonar.errors import InputError


def find_cluster(connection: Connection, tenant: Tenant, infra_id: str, name: str) -> str | None:
    """The uid of the cluster; None where no delegate is named and none installed the agent of the infrastructure."""
    return cluster_of_name(connection, tenant, name) if name else cluster_of_agent(connection, tenant, infra_id)


def cluster_of_name(connection: Connection, tenant: Tenant, name: str) -> str:
    """The only cluster in which a delegate of that name works for the tenant; InputError for none, or several."""
    rows = connection.execute(select(DELEGATES).where(DELEGATES.c.name == name)).mappings().all()
    owners = ((row, Tenant(*(row[part] for part in Tenant._fields))) for row in rows)
    clusters = {row["cluster_uid"] for row, owner in owners if owner.includes(tenant)}
    if len(clusters) != 1:
        raise InputError(f"delegate {name[:80]!r} is known in {len(clusters)} clusters, expected one")
    return str(clusters.pop())


def cluster_of_agent(connection: Connection, tenant: Tenant, infra_id: str) -> str | None:
    """The cluster in which a delegate has installed the agent that has the infrastructure's name."""
    wanted = select(AGENTS.c.id).where(
        of_tenant(AGENTS, tenant), AGENTS.c.identity == infra_id, AGENTS.c.removed_ns.is_(None)
    )
    agent_id = connection.execute(wanted).scalar()
    cluster, owned = owned_by_agent(connection, agent_id) if agent_id else ("", [])
    return cluster if owned else None
