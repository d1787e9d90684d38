"""One real manager per database for all rows; each row has an agent of its own."""

import itertools
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from manager.store.tokens.token_format import Token
from tests.manager.conftest import Running, database, database_of, postgresql_server, store
from tests.manager.manager_process import ManagerProcess, manager_process

__all__ = ["database", "postgresql_server", "store"]
AGENTS = itertools.count(1)
ADDRESSES = itertools.count(2)


@dataclass(frozen=True)
class FaultAgent(ManagerProcess):
    """The manager as one agent sees it, and what its store says."""

    agent: str = "lab"

    def read(self, path: str, **query: str) -> Any:
        """The JSON of a read of this agent's cluster."""
        return self.get(f"/agents/{self.agent}{path}", **query)

    def status(self, path: str, **query: str) -> httpx.Response:
        """The answer to a read, whatever it is."""
        url = f"{self.url}/api/v1/agents/{self.agent}{path}"
        return httpx.get(url, params=query, headers={"X-API-Key": self.key}, trust_env=False, timeout=30)

    def new_token(self, expires_ns: int | None = None) -> Token:
        """One more token of this agent."""
        with closing(Store(self.database)) as store:
            return create_token(store, "ingest", self.agent, 1, secrets.token_bytes, expires_ns=expires_ns)


@pytest.fixture(scope="package", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """The program, on each database in turn."""
    folder = tmp_path_factory.mktemp("faults")
    with database_of(request, folder) as database, manager_process(folder, database) as made:
        yield made


@pytest.fixture
def manager(process: ManagerProcess) -> Iterator[FaultAgent]:
    """The manager with a fresh agent; no row may have made it answer 500."""
    name = f"row-{next(AGENTS)}"
    with closing(Store(process.database)) as store:
        token = create_token(store, "ingest", name, 1, secrets.token_bytes).text()
    fields = {key: getattr(process, key) for key in process.__dataclass_fields__}
    yield FaultAgent(**(fields | {"token": token}), agent=name)
    assert process.process.poll() is None
    assert process.metric("podsonar_manager_internal_errors_total") == 0


def authorized(running: Running, authorization: str | list[str] | None, body: bytes, **headers: str) -> httpx.Response:
    """A push with these Authorization headers, from an address that no other one has: ten failures close an address."""
    number = next(ADDRESSES)
    values = [authorization] if isinstance(authorization, str) else authorization or []
    sent = [("Content-Type", "application/json"), ("Idempotency-Key", f"b-{secrets.token_hex(8)}"), *headers.items()]
    transport = httpx.HTTPTransport(local_address=f"127.1.{number >> 8}.{number & 255}")
    with httpx.Client(transport=transport, trust_env=False, timeout=30) as client:
        named = [*sent, *(("Authorization", value) for value in values)]
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in named]
        return client.post(f"{running.url}/api/v1/collections", content=body, headers=pairs)


def with_token(agent: FaultAgent, token: Token) -> FaultAgent:
    """The same agent with another token."""
    return replace(agent, token=token.text())
