"""`podsonar policy`: what it generates blocks nothing that was observed, and names what was planted outside."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import orjson
import pytest
import yaml
from click.testing import Result

from manager.history.service import History
from manager.server import serving
from manager.store.database import Store
from podsonar.settings import HistorySettings, ManagerSettings
from tests.cli.map.conftest import run_command
from tests.manager.conftest import Running
from tests.manager.fresh_database import migrated
from tests.manager.shop import NODE_A, NODE_B, WINDOW, connection, inventory, observed

LATER = {"start": "2026-11-24T11:15:00.000000Z", "end": "2026-11-24T11:16:00.000000Z"}
PLANTED = connection("load-1", "10.1.2.40", "10.96.0.12", 5432, service="db", n=1)
Policy = Callable[..., Result]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policy]:
    """Runs `podsonar policy` over two windows of the shop; the later one has a planted connection."""
    folder: Path = tmp_path_factory.mktemp("policies")
    database = f"sqlite:///{folder}/manager.db"
    tokens = migrated(database)
    (folder / "key").write_text(tokens.key)
    (folder / "key").chmod(0o600)
    waits = ManagerSettings(history=HistorySettings(settle_seconds=3600))
    with serving(database, settings=waits) as url, closing(Store(database)) as store:
        running = Running(url, database, *tokens)
        later = [body | {"window": LATER} for body in (NODE_A, NODE_B, observed("node-b", [PLANTED], []))]
        for place, body in enumerate((inventory(), NODE_A, NODE_B, *later)):
            assert running.push(body, f"b-{place}").status_code == 201
        assert History(store, HistorySettings(settle_seconds=0), lambda: 2**61).keep_due() == 2
        where = {"PODSONAR_MANAGER": url, "PODSONAR_KEY_FILE": str(folder / "key")}
        yield partial(run_command, where, "policy")


FIRST, SECOND = WINDOW["start"][:19] + "Z", LATER["start"][:19] + "Z"


@pytest.mark.parametrize("per", ["workload", "namespace"])
@pytest.mark.parametrize("windows", [FIRST, f"{FIRST},{SECOND}"])
def test_generated_policies_block_nothing_that_was_observed(policy: Policy, per: str, windows: str) -> None:
    """From one window and from two."""
    made = policy("generate", "--windows", windows, "--per", per)
    assert made.exit_code == 0, made.output
    checked = policy("check", "-", "--windows", windows, stdin=made.stdout)
    assert checked.exit_code == 0, checked.output
    assert checked.stderr.splitlines()[0].startswith("0 blocked, of ")


def test_planted_connection_is_named(policy: Policy) -> None:
    """Policies of the window before block it, in both directions, and nothing else."""
    made = policy("generate", "--windows", FIRST)
    checked = policy("check", "-", "--windows", SECOND, "-o", "json", stdin=made.stdout)
    assert checked.exit_code == 1
    blocked = orjson.loads(checked.stdout)["blocked"]
    assert [(one["direction"], one["source"], one["destination"], one["port"]) for one in blocked] == [
        ("egress", "shop/load-1", "shop/db-1", 5432),
        ("ingress", "shop/load-1", "shop/db-1", 5432),
    ]
    assert blocked[0]["edge"] == "deployment/shop/load -> service/shop/db:5432"


def test_rules_have_their_evidence_and_the_backend_s_port(policy: Policy) -> None:
    """A Service's port is that of the pods behind it; the edge stands above its rule."""
    text = policy("generate", "--windows", FIRST).stdout
    documents = {one["metadata"]["name"]: one["spec"] for one in yaml.safe_load_all(text) if one}
    assert set(documents) == {
        "podsonar-default-deny",
        "podsonar-deployment-cart",
        "podsonar-deployment-frontend",
        "podsonar-deployment-load",
        "podsonar-pod-db-1",
    }
    cart = documents["podsonar-deployment-cart"]
    assert cart["podSelector"] == {"matchLabels": {"app": "cart"}}
    assert cart["ingress"] == [
        {
            "from": [{"podSelector": {"matchLabels": {"app": "frontend"}}}],
            "ports": [{"protocol": "TCP", "port": 8080}],
        }
    ]
    assert {"ipBlock": {"cidr": "203.0.113.9/32"}} in [peer for rule in cart["egress"] for peer in rule["to"]]
    lines = text.splitlines()
    evidence = lines.index("  # service/shop/frontend -> service/shop/cart:7000 (23 attempts)")
    assert lines[evidence + 1] == "  - from:" or lines[evidence + 1] == "  - to:"


def test_wrong_files_and_windows_have_their_exit_codes(policy: Policy, tmp_path: Path) -> None:
    """2 for a file that is none, 3 for a window that is not there."""
    assert policy("check", str(tmp_path / "none.yaml")).exit_code == 2
    assert policy("check", "-", stdin="kind: Pod").exit_code == 2
    assert policy("generate", "--windows", "no-such").exit_code == 3
    assert policy("generate", "--namespace", "nowhere").exit_code == 2
