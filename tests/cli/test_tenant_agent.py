"""Commands read an agent of a tenant by its whole name."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cli.manager_api import ManagerApi
from podsonar.errors import UsageError
from tests.manager.api.operations import TENANT, make_key, standing_shop
from tests.manager.conftest import Running, running_on


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A manager on a fresh SQLite."""
    with running_on(f"sqlite:///{tmp_path}/manager.db") as made:
        yield made


def test_agent_of_a_tenant_has_the_tenant_before_its_name(running: Running) -> None:
    """Another tenant's agent has the same name and no rows; without a name the tenant's only agent is meant."""
    standing_shop(running, identity="lab")
    key = make_key(running.database, "read", TENANT)
    for name in ("lab", ""):
        api = ManagerApi(running.url, key, "/".join((*TENANT, name)))
        with closing(api.http):
            assert len(api.map("latest")["services"]) > 3
    nobody = ManagerApi(running.url, running.key, "lab")
    with closing(nobody.http):
        assert nobody.map("latest")["services"] == []


@pytest.mark.parametrize("agent", ["acme/lab", "a/b/c/d/e/f"])
def test_incomplete_tenant_is_refused(agent: str) -> None:
    """All four parts, or none."""
    with pytest.raises(UsageError, match="ACCOUNT/ORGANIZATION/PROJECT/ENVIRONMENT/NAME"):
        ManagerApi("http://127.0.0.1:1", "key", agent)
