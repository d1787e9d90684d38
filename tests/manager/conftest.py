"""A running manager with an agent's token and a person's key."""

import atexit
import gzip
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from manager.server import serving
from manager.store.database import Store
from tests.manager.fresh_database import migrated
from tests.manager.postgresql import PostgresqlServer

CLIENT = httpx.Client(timeout=120, trust_env=False)  # one for all: each would read the system's authorities anew
atexit.register(CLIENT.close)


@dataclass(frozen=True)
class Running:
    """A manager, its database, and both kinds of token."""

    url: str
    database: str
    token: str
    key: str

    def push(self, body: Any, batch_id: str = "b-1", **headers: str) -> httpx.Response:
        """POST a body as an agent does; bytes are sent as they are."""
        raw = body if isinstance(body, bytes) else gzip.compress(orjson.dumps(body))
        sent = {
            "Authorization": f"Token {self.token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "Idempotency-Key": batch_id,
        }
        return CLIENT.post(f"{self.url}/api/v1/collections", content=raw, headers=sent | headers)

    def get(self, path: str, **query: str) -> Any:
        """The JSON of a read with the key."""
        answer = CLIENT.get(f"{self.url}/api/v1{path}", params=query, headers={"X-API-Key": self.key})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL, for as long as the tests run."""
    server = PostgresqlServer()
    yield server
    server.remove()


@contextmanager
def database_of(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The URL of an empty database of the fixture's kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/manager.db"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    url = server.new_database()
    yield url
    server.drop(url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, of each kind in turn."""
    with database_of(request, tmp_path) as url:
        yield url


@contextmanager
def running_on(database: str) -> Iterator[Running]:
    """A manager on a fresh database, in a thread of this process."""
    tokens = migrated(database)
    with serving(database) as url:
        yield Running(url, database, *tokens)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def standing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A manager for tests that leave nothing that another one looks at."""
    with database_of(request, tmp_path_factory.mktemp("standing")) as database, running_on(database) as made:
        yield made


@pytest.fixture
def running(database: str) -> Iterator[Running]:
    """A manager on a fresh database of each kind."""
    with running_on(database) as made:
        yield made


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    """A migrated SQLite database with the agent `lab`, for what one kind alone is asked, such as plans of queries."""
    database = f"sqlite:///{tmp_path}/manager.db"
    migrated(database)
    with closing(Store(database)) as made:
        yield made


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """A migrated database of each kind, with the agent `lab`."""
    migrated(database)
    made = Store(database)
    yield made
    made.close()
