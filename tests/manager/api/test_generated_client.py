"""A client that a stock generator makes from the official document works against a running manager, unchanged."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.manager.api.operations import TENANT, make_key, push_shop
from tests.manager.conftest import Running

DOCUMENT = Path(__file__).resolve().parents[3] / "manager" / "schema" / "service-discovery-openapi.yaml"
NAME = "generated_discovery_client"
SCOPE = {"account_identifier": TENANT.account, "environment_identifier": TENANT.environment}
PROJECT = {"organization_identifier": TENANT.organization, "project_identifier": TENANT.project}
PAGE = {"page": 0, "limit": 10, "all_": False}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the generated client, which can be imported."""
    folder = tmp_path_factory.mktemp("client")
    program = str(Path(sys.executable).parent / "openapi-python-client")
    command = [program, "generate", "--path", str(DOCUMENT), "--meta", "none", "--output-path", str(folder / NAME)]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def operation(group: str, name: str) -> Any:
    """An operation's function of the generated client."""
    return importlib.import_module(f"{NAME}.api.{group}.{name}").sync_detailed


def model(name: str, /, **values: Any) -> Any:
    """A model of the generated client."""
    return getattr(importlib.import_module(f"{NAME}.models"), name)(**values)


@pytest.mark.long
@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_generated_client_creates_lists_updates_and_deletes(running: Running, generated: Path, header: str) -> None:
    """Agents, their installations, discovered services, network maps and settings, with the client's own models."""
    assert generated.is_dir()
    clients = importlib.import_module(NAME)
    own = {"prefix": "", "auth_header_name": header} if header == "X-API-Key" else {}
    key = make_key(running.database, "admin")
    with clients.AuthenticatedClient(running.url, token=key, raise_on_unexpected_status=True, **own) as client:
        use_everything(running, client)


def use_everything(running: Running, client: Any) -> None:
    """Call the operations one after the other."""
    rest = {"client": client, **SCOPE, **PROJECT}
    data = model("DatabaseDataCollectionConfiguration", collection_window_in_min=1, enable_node_agent=True)
    config = model("DatabaseAgentConfiguration", data=data)
    body = model(
        "ApiCreateAgentRequest",
        config=config,
        environment_identifier=TENANT.environment,
        infra_identifier="generated",
        name="made by a generated client",
    )
    create = operation("agent", "create_agent")
    made = create(client=client, account_identifier=TENANT.account, **PROJECT, body=body)
    assert made.status_code == 201
    assert made.parsed.installation_details.delegate_task_status == "PROCESSED"
    listed = operation("agent", "list_agent")(**rest, **PAGE).parsed
    assert [(one.identity, one.id) for one in listed.items] == [("generated", made.parsed.id)]
    push_shop(running, operation("agent", "get_agent_token")("generated", **rest).parsed.token)
    change = model("ApiUpdateAgentRequest", config=config, name="renamed")
    assert operation("agent", "update_agent")("generated", **rest, body=change).parsed.name == "renamed"
    stop, installations = operation("agent", "stop_ongoing_discovery"), operation("agent", "list_installation")
    (installation,) = installations("generated", **rest, **PAGE).parsed.items
    assert stop("generated", installation.id, **rest).parsed.stopped is True
    services = operation("k8sresource", "list_discovered_service")("generated", **rest, **PAGE).parsed.items
    assert {one.name for one in services} == {"cart", "db", "frontend", "load"}
    for kind in ("pod", "service", "node", "deployment", "replica_set", "namespace"):
        assert operation("k8sresource", f"list_{kind}")("generated", **rest, **PAGE).parsed.items
    edges = operation("k8sresource", "list_discovered_service_connection")("generated", **rest).parsed.items
    assert {(one.source_name, one.destination_name) for one in edges} >= {("frontend", "cart")}
    entities = [
        model("DatabaseNetworkMapEntity", id=one.id, kind="DiscoveredService", name=one.name) for one in services
    ]
    wanted = model("ApiCreateNetworkMapRequest", identity="checkout", name="Checkout", resources=entities)
    created = operation("networkmap", "create_network_map")("generated", **rest, body=wanted).parsed
    assert {(one.from_.name, one.to.name) for one in created.connections} >= {("frontend", "cart")}
    maps = operation("applicationmap", "list_application_map")("generated", **rest, **PAGE).parsed
    assert [one.id for one in maps.items] == [created.id]
    operation("networkmap", "delete_network_map")("generated", "checkout", **rest)
    assert operation("networkmap", "list_network_map")("generated", **rest, **PAGE).parsed.page.total_items == 0
    operation("agent", "delete_agent")("generated", **rest)
    assert operation("agent", "list_agent")(**rest, **PAGE).parsed.items == []
