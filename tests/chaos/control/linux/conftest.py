"""A manager with hosts, and what an agent sends."""

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.chaos.conftest import ACCOUNT, Manager, other_address
from tests.manager.conftest import CLIENT

SAMPLES = Path(__file__).resolve().parents[3] / "fixtures" / "linux"
TENANT = {"accountIdentifier": ACCOUNT, "organizationIdentifier": "default", "projectIdentifier": "shop"}
LSERVER = "/gratis/chaos/lserver/api/infra"


def sample(name: str) -> Any:
    """A sample of the API document."""
    return orjson.loads((SAMPLES / f"{name}.json").read_bytes())


@dataclass
class Host:
    """A registered host; `key` is its access key."""

    manager: Manager
    admin: str
    id: str
    key: str
    tenant: dict[str, str] = field(default_factory=lambda: dict(TENANT))

    def ask(self, method: str, path: str, body: Any = None, key: str = "", **given: Any) -> httpx.Response:
        """The answer to the agent."""
        headers = {"X-Access-Key": key or self.key, **given.get("headers", {})}
        url = f"{self.manager.url}{given.get('prefix', LSERVER)}{path}"
        content = orjson.dumps(body if body is not None else {}) if method == "POST" else b""
        if given.get("elsewhere"):
            with other_address() as client:
                return client.request(method, url, content=content, headers=headers)
        return CLIENT.request(method, url, content=content, headers=headers)

    def person(self, method: str, path: str, body: Any = None, key: str = "", **tenant: str) -> httpx.Response:
        """The answer to a person."""
        return CLIENT.request(
            method,
            f"{self.manager.url}/v1/chaos/linux{path}",
            params=self.tenant | tenant,
            json=body,
            headers={"X-API-Key": key or self.admin},
        )

    def confirm(self, hostname: str = "ip-172-31-13-123", key: str = "") -> httpx.Response:
        """The answer to the document's `confirm`."""
        return self.ask("POST", "/confirm", {"hostname": hostname, "version": "1.59.0"}, key)

    def make(self, name: str = "linux-cpu-hog", action: Any = None) -> dict[str, Any]:
        """A new task, by default the document's."""
        action = action or sample("task")["taskList"][0]["action"]
        answer = self.person("POST", "/tasks", {"infra": self.id, "name": name, "action": action})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def task(self, name: str) -> dict[str, Any]:
        """A task as a person reads it."""
        found: dict[str, Any] = self.person("GET", f"/tasks/{name}").json()
        return found


def admin_key(manager: Manager) -> str:
    """A key of scope admin."""
    with closing(Store(manager.database)) as store:
        return create_token(store, "admin", "tester", 1, secrets.token_bytes).text()


@pytest.fixture
def new_host(manager: Manager) -> Callable[..., Host]:
    """Registers hosts."""

    def make(**tenant: str) -> Host:
        host = Host(manager, admin_key(manager), "", "")
        host.tenant |= tenant
        answer = host.person("POST", "/infras", {"name": f"host-{secrets.token_hex(4)}"})
        assert answer.status_code == 201, answer.text
        host.id, host.key = answer.json()["infraID"], answer.json()["accessKey"]
        return host

    return make


@pytest.fixture
def host(new_host: Callable[..., Host]) -> Host:
    """A registered host."""
    return new_host()
