"""A running manager with chaos' server sides."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from chaos.control.mount import mount_chaos
from manager.server import serving
from manager.store.database import Store
from manager.store.logs.tokens import create_log_token
from tests.manager.conftest import CLIENT, database_of
from tests.manager.conftest import postgresql_server as postgresql_server  # noqa: PLC0414 - a fixture
from tests.manager.fresh_database import migrated

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
ACCOUNT = "cTU1lRSWS2SSRV9phKvuOA"


def log_token(database: str, account: str = ACCOUNT, prefix: str = "") -> str:
    """A new token that writes streams."""
    with closing(Store(database)) as store, store.writing() as connection:
        return create_log_token(connection, account, prefix, 1, secrets.token_bytes)


def other_address() -> httpx.Client:
    """A client with an address of its own: failures of others do not count against it."""
    address = f"127.{secrets.randbelow(250) + 1}.{secrets.randbelow(250)}.{secrets.randbelow(250) + 1}"
    return httpx.Client(timeout=30, trust_env=False, transport=httpx.HTTPTransport(local_address=address))


@dataclass(frozen=True)
class Manager:
    """A manager, its database, a person's key and a token that writes every stream of the account."""

    url: str
    database: str
    key: str
    token: str

    def log(self, method: str, path: str, key: str, content: Any = b"", **given: Any) -> httpx.Response:
        """The answer of the log service; `content` is sent as JSON unless it is bytes already."""
        raw = content if isinstance(content, bytes) else orjson.dumps(content)
        query = {"accountID": given.get("account", ACCOUNT), "key": key, **given.get("query", {})}
        headers = {"X-Harness-Token": given.get("token", self.token), **given.get("headers", {})}
        url = f"{self.url}{given.get('prefix', '/log-service')}{path}"
        with other_address() if given.get("elsewhere") else nullcontext(CLIENT) as client:
            return client.request(method, url, params=query, headers=headers, content=raw)

    def lines(self, key: str, **given: Any) -> list[dict[str, Any]]:
        """The lines of a stream in the order to read them in."""
        answer = self.log("GET", "/blob", key, **given)
        assert answer.status_code == 200, answer.text
        return [orjson.loads(line) for line in answer.content.splitlines()]

    def info(self, key: str, account: str = ACCOUNT) -> dict[str, Any]:
        """What is known of a stream."""
        headers = {"X-API-Key": self.key}
        answer = CLIENT.get(f"{self.url}/v1/logs/{key}/info", params={"accountID": account}, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def chaos_manager(database: str) -> Iterator[Manager]:
    """A manager on a fresh database, in a thread of this process."""
    tokens = migrated(database)
    with serving(database, parts=(mount_chaos,)) as url:
        yield Manager(url, database, tokens.key, log_token(database))


@pytest.fixture(scope="package", params=KINDS)
def manager(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """One manager per kind of database for all tests of the package: each uses keys of its own."""
    folder: Path = tmp_path_factory.mktemp("chaos")
    with database_of(request, folder) as database, chaos_manager(database) as made:
        yield made


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"{secrets.token_hex(8)}-pod-delete"
