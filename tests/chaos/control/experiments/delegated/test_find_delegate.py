"""Which delegate brings a run's runner, and runs that none can bring."""

import secrets
from typing import Any

import pytest
from sqlalchemy import insert

from chaos.control.experiments.delegated.find_delegate import find_cluster
from chaos.control.experiments.delegated.run_tasks import check_delegated
from manager.installations.installations import create_installation
from manager.store.delegate_tables import DELEGATES
from manager.store.tenancy import Tenant
from podsonar.errors import InputError
from tests.chaos.control.experiments.delegated.run_desk import NOON, TENANT, Desk
from tests.chaos.control.experiments.delegated.run_desk import desk as desk  # noqa: PLC0414 - a fixture
from tests.manager.installations.seed_agent import SEED, create_agent


def known_delegate(name: str, tenant: Tenant, cluster: str) -> dict[str, Any]:
    """A row of a delegate that has asked."""
    row = {"id": secrets.token_hex(4), **tenant._asdict(), "name": name, "token_id": "t", "cluster_uid": cluster}
    return row | {"cluster_version": "", "version": "", "namespaces": b"[]", "created_ns": 1, "seen_ns": 1}


def test_delegate_is_the_one_that_is_named_or_that_installed_the_agent(desk: Desk) -> None:
    """In its own account alone; of a name in two clusters nobody knows which is meant."""
    agent = create_agent(desk.store, TENANT, SEED, NOON, permanent=True)
    with desk.store.writing() as connection:
        rows = [("a", "acc", "c-1"), ("b", "acc", "c-1"), ("b", "acc", "c-2"), ("c", "other", "c-3")]
        for name, account, cluster in rows:
            connection.execute(insert(DELEGATES), known_delegate(name, Tenant(account), cluster))
        assert find_cluster(connection, TENANT, "prod", "a") == "c-1"
        for name, number in (("b", 2), ("c", 0)):
            with pytest.raises(InputError, match=f"known in {number} clusters, expected one"):
                find_cluster(connection, TENANT, "prod", name)
        assert find_cluster(connection, TENANT, agent.identity, "") is None
        create_installation(connection, agent, NOON, secrets.token_bytes)
    installing = next(task for task in desk.lease() if task.agent_id)
    desk.report(installing, "SUCCESS", result="created")
    with desk.store.reading() as connection:
        assert find_cluster(connection, TENANT, agent.identity, "") == "cluster-1"
        assert find_cluster(connection, TENANT._replace(environment="x"), agent.identity, "") is None


@pytest.mark.parametrize(
    ("tenant", "authority", "expected"),
    [
        (Tenant("acc"), "", "expected project and environment"),
        (TENANT, "nonsense", "authority holds no certificate: expected PEM"),
    ],
)
def test_run_whose_runner_would_not_start_is_not_ordered(tenant: Tenant, authority: str, expected: str) -> None:
    """The reason names what is missing."""
    with pytest.raises(InputError, match=expected):
        check_delegated(tenant, authority)
