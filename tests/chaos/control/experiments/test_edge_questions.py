"""An edgeProbe's question to a real manager that real agents' batches were pushed to: Pass, Fail, or N/A with why."""

import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest

from chaos.control.experiments.runs.manifest import read_manifest
from manager.store.database import Store
from manager.store.tokens.issued import create_token
from podsonar.errors import InputError
from podsonar.model import Purpose
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.test_kserver import MANIFEST
from tests.chaos.control.experiments.test_kserver import TENANT as QUERY
from tests.chaos.observed_shop import CART, DB, LOAD, OUTSIDE, TENANT, Counts, ObservedShop
from tests.manager.conftest import CLIENT

BROKEN, HALF = Counts(0, 20), Counts(10, 10)
FAULT_SECONDS = 30


@dataclass
class Site:
    """A run of an infrastructure that is observed, whose fault was in from `began_ns` on, 100 seconds ago."""

    url: str
    infra: str
    ids: dict[str, str]
    shop: ObservedShop
    began_ns: int

    def fault_window(self, after_seconds: float = 5, seconds: float = 20, **edges: Any) -> str:
        """A window that begins so long after the fault began."""
        return self.shop.window(self.began_ns + int(after_seconds * NS_PER_SECOND), seconds, **edges)

    def ask(self, until_seconds: float = FAULT_SECONDS, key: str = "", **edge: Any) -> httpx.Response:
        """The answer."""
        times = {"from": self.began_ns // 10**6, "until": self.began_ns // 10**6 + int(until_seconds * 1000)}
        path = f"{self.infra}/{self.ids['experimentID']}/{self.ids['runID']}"
        return CLIENT.post(
            f"{self.url}/chaos/kserver/api/infra/v2/task/edge/{path}",
            params=QUERY,
            headers={"X-Access-Key": key or self.ids["accessKey"]},
            content=orjson.dumps({"edge": edge} | times),
        )

    def judge(self, **edge: Any) -> tuple[str, str]:
        """Outcome and reason."""
        answer = self.ask(**edge)
        assert answer.status_code == 200, answer.text
        return answer.json()["outcome"], answer.json()["reason"]


@pytest.fixture
def blank(manager: Manager) -> Site:
    """An agent that has pushed no window before the run."""
    return site_of(manager, MANIFEST)


def site_of(manager: Manager, experiment: Any) -> Site:
    """An agent that has pushed no window before a run of the experiment."""
    infra = f"shop-{secrets.token_hex(4)}"
    now_ns = time.time_ns()
    with closing(Store(manager.database)) as store:
        shop = ObservedShop(manager.url, store, infra, now_ns - 4000 * NS_PER_SECOND)
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=TENANT).text()
        made = CLIENT.post(
            f"{manager.url}/v1/chaos/runs",
            params=QUERY,
            headers={"X-API-Key": admin},
            content=orjson.dumps({"infraID": infra, "experiment": experiment}),
        )
    assert made.status_code == 201, made.text
    return Site(manager.url, infra, made.json(), shop, now_ns - 100 * NS_PER_SECOND)


@pytest.fixture
def site(blank: Site) -> Site:
    """One with a whole window before the run, and one that was not observed whole, which is no baseline."""
    blank.shop.window(blank.began_ns - 60 * NS_PER_SECOND, 20)
    blank.shop.window(blank.began_ns - 30 * NS_PER_SECOND, 20, cart=BROKEN, nodes="a")
    return blank


def test_run_with_windows_of_its_own_asks_of_these_alone(manager: Manager) -> None:
    """A baseline of somebody else is none: N/A until its own was observed."""
    site = site_of(manager, MANIFEST | {"spec": MANIFEST["spec"] | {"windows": {"seconds": 20}}})
    site.shop.window(site.began_ns - 90 * NS_PER_SECOND, 20)
    site.fault_window(cart=BROKEN, purpose=Purpose(site.ids["runID"], "fault"))
    outcome, reason = site.judge(edge=CART, expect="breaks")
    assert (outcome, "no window" in reason) == ("N/A", True), reason
    site.shop.window(site.began_ns - 30 * NS_PER_SECOND, 20, purpose=Purpose(site.ids["runID"], "baseline"))
    assert site.judge(edge=CART, expect="breaks") == ("Pass", f"{CART}: broken, 0 of 20 attempts established")


QUESTIONS: list[tuple[dict[str, Any], list[tuple[dict[str, Any], str, str]]]] = [
    (
        {},
        [
            ({"edge": CART}, "Pass", f"{CART}: ok, 20 of 20"),
            ({"edge": CART, "expect": "breaks"}, "Fail", "expected that it breaks: ok"),
            ({"edge": DB, "expect": "slows"}, "Fail", "expected that it slows: ok"),
            ({"edge": DB, "expect": "degrades"}, "Fail", "expected that it degrades: ok"),
            ({"edge": OUTSIDE}, "N/A", "2 attempts, at least 5 needed"),
            ({"edge": OUTSIDE, "minAttempts": 2}, "Pass", OUTSIDE),
            ({"edge": "shop/a -> shop/b"}, "N/A", "no such edge"),
            ({"edge": "shop/* -> shop/*"}, "Pass", LOAD),
        ],
    ),
    (
        {"cart": BROKEN, "db": HALF, "load": Counts(90)},
        [
            ({"edge": CART}, "Fail", "broken: 0 of 20"),
            ({"edge": CART, "expect": "breaks"}, "Pass", f"{CART}: broken, 0 of 20"),
            ({"edge": DB, "expect": "breaks"}, "Fail", "degraded"),
            ({"edge": DB, "expect": "degrades"}, "Pass", f"{DB}: degraded, 10 of 20"),
            ({"edge": DB, "minEstablished": "40%"}, "Pass", DB),
            ({"edge": DB, "minEstablished": "60%"}, "Fail", "at least 60%"),
            ({"edge": LOAD, "maxSurge": 3}, "Fail", "4.5 times"),
            ({"edge": LOAD, "maxSurge": 5}, "Pass", "surging"),
        ],
    ),
    ({"db": Counts(0)}, [({"edge": DB, "expect": "breaks"}, "N/A", "silent")]),
    (
        {"nodes": "a", "cart": BROKEN},
        [
            ({"edge": CART}, "N/A", "node-b not observed (no_report)"),
            ({"edge": CART, "expect": "breaks"}, "N/A", "node-b not observed (no_report)"),
        ],
    ),
    ({"lost": 14}, [({"edge": DB}, "N/A", "node-b lost 14"), ({"edge": OUTSIDE, "minAttempts": 1}, "N/A", "lost 14")]),
]


@pytest.mark.parametrize(
    ("edges", "questions"), QUESTIONS, ids=["as before", "a fault", "no attempt", "agent off on a node", "lost records"]
)
def test_map_judges_an_edge(
    site: Site, edges: dict[str, Any], questions: list[tuple[dict[str, Any], str, str]]
) -> None:
    """Pass where the edge was exercised, observed at both ends, and did what was said; else Fail, or N/A with why."""
    site.fault_window(**edges)
    for edge, expected, words in questions:
        outcome, reason = site.judge(**edge)
        assert (outcome, words in reason) == (expected, True), (edge, outcome, reason)


def test_window_that_is_not_within_the_fault_says_nothing(site: Site) -> None:
    """It began before, or ended after: what it saw may have been without the fault."""
    for after, seconds in ((0.5, 10), (15, 15), (-10, 20), (31, 10)):
        site.fault_window(after, seconds)
    assert site.judge(edge=CART) == ("N/A", "no window lies in the time of the fault")


def test_without_a_baseline_nothing_is_said(blank: Site) -> None:
    """An edge that was broken before would break nothing now."""
    blank.fault_window(cart=BROKEN)
    assert blank.judge(edge=CART, expect="breaks") == ("N/A", "no window was observed before the run")


def test_infrastructure_without_an_agent_is_not_observed(site: Site, manager: Manager) -> None:
    """N/A, and it names whom nobody observes."""
    with closing(Store(manager.database)) as store:
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=TENANT).text()
    order = orjson.dumps({"infraID": "nobody", "experiment": MANIFEST})
    made = CLIENT.post(f"{site.url}/v1/chaos/runs", params=QUERY, headers={"X-API-Key": admin}, content=order)
    alone = Site(site.url, "nobody", made.json(), site.shop, site.began_ns)
    outcome, reason = alone.judge(edge=CART)
    assert (outcome, "nobody" in reason) == ("N/A", True)


def test_answer_is_settled_once_agents_had_time_to_deliver(site: Site) -> None:
    """A fault that is over since a moment may have windows that are not here; its windows are named."""
    window = site.fault_window()
    asked = site.ask(edge=CART).json()
    assert (asked["settled"], asked["windows"]["fault"], len(asked["windows"]["baseline"])) == (True, [window], 1)
    assert not site.ask(until_seconds=95, edge=CART).json()["settled"]


@pytest.mark.parametrize(
    ("key", "edge", "status"),
    [
        pytest.param("a" * 32, {"edge": CART}, 401, id="key"),
        pytest.param("", {"edge": "cart"}, 400, id="edge"),
        pytest.param("", {"edge": CART, "expect": "explodes"}, 400, id="expect"),
        pytest.param("", {"edge": CART, "other": 1}, 400, id="member"),
    ],
)
def test_wrong_question_is_refused(site: Site, key: str, edge: dict[str, Any], status: int) -> None:
    """In the document's shape."""
    answer = site.ask(key=key, **edge)
    assert (answer.status_code, set(answer.json())) == (status, {"message"})


@pytest.mark.parametrize(
    ("inputs", "mode", "expected"),
    [
        ({"edge": "cart"}, "EOT", "expected `SOURCE -> DESTINATION"),
        ({"edge": CART, "expect": "breaks", "maxSurge": 2}, "EOT", "expected only where an edge holds"),
        ({"edge": CART, "minEstablished": "half"}, "EOT", "minEstablished"),
        ({"edge": CART}, "Continuous", "expected EOT"),
        ({}, "EOT", "missing required field `edge`"),
    ],
)
def test_wrong_probe_is_refused_with_the_experiment(inputs: dict[str, Any], mode: str, expected: str) -> None:
    """Before anything runs."""
    probe = {"name": "x", "type": "edgeProbe", "edgeProbe/inputs": inputs}
    document = orjson.loads(orjson.dumps(MANIFEST))
    document["spec"]["tasks"][0]["probeRef"] = [{"probeID": "x", "mode": mode}]
    document["spec"]["probes"] = [probe]
    with pytest.raises(InputError, match=expected):
        read_manifest(document)
