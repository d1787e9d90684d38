"""A manager with four windows of the shop, and the command that reads it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import podsonar
from manager.history.service import History
from manager.server import serving
from manager.store.agents import find_agent
from manager.store.database import Store
from manager.store.tenancy import Tenant
from podsonar.errors import PodsonarError
from podsonar.settings import HistorySettings, ManagerSettings
from tests.manager.api.operations import make_key
from tests.manager.fresh_database import migrated
from tests.manager.history.many_windows import keep_many, map_at, observed_map

BASE = observed_map(13, 22, 3)
FAILING = next(place for place, edge in enumerate(BASE["edges"]) if not edge["failed"] and edge["attempts"] > 1)
UNSURE = next(
    place
    for place, edge in enumerate(BASE["edges"])
    if any("node-b" in one["nodes"] for one in BASE["services"] if one["id"] in {edge["source"], edge["destination"]})
)
Command = Callable[..., Result]


def edges_of_window(place: int) -> list[dict[str, object]]:
    """Two without a change, then one edge that fails, then one more edge."""
    edges = [dict(edge) for edge in BASE["edges"]]
    if place >= 2:
        edges[FAILING] |= {"failed": edges[FAILING]["attempts"], "established": 0}
    if place >= 3:
        edges.append(edges[0] | {"port": "6000"})
    return edges


def run_command(environment: Mapping[str, str], *words: str, stdin: str = "") -> Result:
    """What `podsonar` prints; an error is its exit code, as `main` makes it."""
    done = CliRunner().invoke(podsonar, words, env=environment, input=stdin)
    if isinstance(done.exception, PodsonarError):
        done.exit_code = done.exception.exit_code
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def blinded_window(place: int) -> dict[str, Any]:
    """One observed whole; one on order in which node-b saw a part, without an edge at its end; one that nobody saw."""
    found = map_at(BASE, place, [edge for edge in BASE["edges"] if place != 1 or edge is not BASE["edges"][UNSURE]])
    part = {"observed": "part", "reason": "tracer_missing", "start": None, "end": None}
    none = part | {"observed": "none"}
    whole = BASE["coverage"]["node-a"]
    coverage = ({"node-a": whole, "node-b": whole}, {"node-a": whole, "node-b": part}, {"node-a": none, "node-b": none})
    purpose = {"purpose": {"run": "cart-1", "kind": "fault"}} if place == 1 else {}
    return found | {"coverage": coverage[place], "window": found["window"] | purpose}


@contextmanager
def reading_command(folder: Path, windows: int, make: Callable[[int], dict[str, Any]]) -> Iterator[Command]:
    """What runs `podsonar` with a key and the address of a manager that keeps these windows."""
    database = f"sqlite:///{folder}/manager.db"
    migrated(database)
    (folder / "key").write_text(make_key(database, "admin", Tenant()))
    (folder / "key").chmod(0o600)
    with closing(Store(database)) as store:
        agent = find_agent(store, "lab")
        assert agent is not None
        keep_many(History(store, HistorySettings(), lambda: 1), agent, windows, make)
    waits = ManagerSettings(history=HistorySettings(settle_seconds=3600))
    with serving(database, settings=waits) as url:
        yield partial(run_command, {"PODSONAR_MANAGER": url, "PODSONAR_KEY_FILE": str(folder / "key")})


@pytest.fixture(scope="package")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs `podsonar` beside a manager with four windows, all observed whole."""
    folder = tmp_path_factory.mktemp("maps")
    with reading_command(folder, 4, lambda place: map_at(BASE, place, edges_of_window(place))) as runs:
        yield runs
