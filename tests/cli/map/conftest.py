"""A manager with four windows of the shop, and the command that reads it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

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


@pytest.fixture(scope="package")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs `podsonar` with the manager's address and a key."""
    folder: Path = tmp_path_factory.mktemp("maps")
    database = f"sqlite:///{folder}/manager.db"
    migrated(database)
    (folder / "key").write_text(make_key(database, "admin", Tenant()))
    (folder / "key").chmod(0o600)
    with closing(Store(database)) as store:
        agent = find_agent(store, "lab")
        assert agent is not None
        history = History(store, HistorySettings(), lambda: 1)
        keep_many(history, agent, 4, lambda place: map_at(BASE, place, edges_of_window(place)))
    waits = ManagerSettings(history=HistorySettings(settle_seconds=3600))
    with serving(database, settings=waits) as url:
        where = {"PODSONAR_MANAGER": url, "PODSONAR_KEY_FILE": str(folder / "key")}

        yield partial(run_command, where)
