"""Two minutes of everything hostile at once, one on each database; `make soak` takes twenty."""

import os
from pathlib import Path

import pytest

from tests.manager.conftest import postgresql_server
from tests.manager.postgresql import PostgresqlServer
from tests.soak.soak import is_whole, soak

__all__ = ["postgresql_server"]
SECONDS = float(os.environ.get("PODSONAR_TEST_SOAK_SECONDS", "60"))

pytestmark = pytest.mark.long


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_honest_agent_loses_nothing_while_everything_hostile_goes_on(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """All of its batches are stored once, its counts are exact, memory stays below the chart's limits."""
    server: PostgresqlServer | None = request.getfixturevalue("postgresql_server") if kind == "postgresql" else None
    found = soak(tmp_path, SECONDS, server)
    print(found.shown())  # noqa: T201
    assert is_whole(found), found.shown()
