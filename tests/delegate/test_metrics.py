"""What a delegate counts, at a real manager; the API server answers what is asked before a list is checked."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from cluster_api.client import ApiClient
from delegate.app import Delegate
from delegate.metrics import DelegateMetrics
from manager.installations.tasks import create_task
from manager.server import serving
from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import create_token
from podsonar.settings import DelegateRules, DelegateSettings, ManagerEndpoint
from tests.answering_server import GivenAnswer, ReceivedRequest, answering
from tests.cluster_api.test_kubeconfig import kubeconfig

TENANT = Tenant("acme")


def api_server(request: ReceivedRequest) -> GivenAnswer:
    """The version and the namespace kube-system; it does not check who asks."""
    found: dict[str, Any] = {"gitVersion": "v1.34.4"}
    if request.path != "/version":
        found = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "c-1"}}
    return GivenAnswer(200, orjson.dumps(found), {"Content-Type": "application/json"})


class Counted:
    """A delegate, and the values of its metrics."""

    def __init__(self, folder: Path, manager_url: str, server_url: str, token: str) -> None:
        (folder / "token").write_text(token)
        rules = DelegateRules(name="d", namespaces=["hce"], image_prefixes=["i"], poll_seconds=1)
        endpoint = ManagerEndpoint(url=manager_url, token_file=str(folder / "token"))
        settings = DelegateSettings(delegate=rules, manager=endpoint)
        client = ApiClient.connect(kubeconfig(folder, None, {"server": server_url}), "test")
        self.registry = CollectorRegistry()
        self.delegate = Delegate(settings, client, DelegateMetrics(self.registry), threading.Event())

    def value(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.registry.get_sample_value(f"podsonar_delegate_{name}", labels)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A manager's database."""
    with closing(Store(f"sqlite:///{tmp_path}/manager.db")) as made:
        made.migrate()
        yield made


def test_polls_tasks_and_objects_are_counted_by_their_end(store: Store, tmp_path: Path) -> None:
    """A refused list, a poll without work, and a manager that is away."""
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "podsonar-a"}}
    with store.writing() as connection:
        create_task(connection, TENANT, "apply", {"manifests": [one]}, time.time_ns(), secrets.token_bytes, log_key="k")
    token = create_token(store, "delegate", "d", time.time_ns(), secrets.token_bytes, tenant=TENANT).text()
    with answering(api_server) as server_url:
        with serving(f"sqlite:///{tmp_path}/manager.db") as manager_url:
            counted = Counted(tmp_path, manager_url, server_url, token)
            assert (counted.value("polls_total", result="task"), counted.delegate.unready) == (
                0,
                "no poll has been answered",
            )
            began = time.time()
            counted.delegate.turn()
            counted.delegate.turn()
        assert counted.delegate.unready is None
        assert counted.value("last_poll_timestamp_seconds") >= began
        counted.delegate.turn()
        counted.delegate.api.end()
    assert {result: counted.value("polls_total", result=result) for result in ("task", "empty", "error")} == {
        "task": 1,
        "empty": 1,
        "error": 1,
    }
    assert counted.delegate.unready is not None
    ends = {status: counted.value("tasks_total", status=status) for status in ("SUCCESS", "FAILED", "REFUSED", "lost")}
    assert ends == {"SUCCESS": 0, "FAILED": 0, "REFUSED": 1, "lost": 0}
    assert counted.value("objects_total", result="refused") == 1
    assert counted.value("api_requests") == 2
