"""A running manager with an agent's token and a person's key."""

import gzip
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from manager.server import serving
from manager.store import Store
from manager.store_tokens import create_token


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
        return httpx.post(f"{self.url}/api/v1/collections", content=raw, headers=sent | headers, timeout=30)

    def get(self, path: str, **query: str) -> Any:
        """The JSON of a read with the key."""
        answer = httpx.get(f"{self.url}/api/v1{path}", params=query, headers={"X-API-Key": self.key}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A manager on a fresh database, in a thread of this process."""
    database = f"sqlite:///{tmp_path}/manager.db"
    store = Store(database)
    store.migrate()
    token = create_token(store, "ingest", "lab", 1, secrets.token_bytes).text()
    key = create_token(store, "read", "tester", 1, secrets.token_bytes).text()
    store.close()
    with serving(database) as url:
        yield Running(url, database, token, key)
