"""Predictions against real faults on an application with planted weaknesses: what the map sees, and what it cannot."""

from contextlib import ExitStack
from typing import Any

import pytest

from bench.predictions.planned import edge
from bench.predictions.runs import compared, quiet_baseline, recorded, take
from bench.predictions.site import Site
from lab.applications.travel import TRAVEL
from podsonar.errors import PodsonarError

pytestmark = [pytest.mark.timeout(600), pytest.mark.kernel, pytest.mark.long]

BANK = "travel/payment -> travel/bank:8080"
EXCHANGE = "travel/fares -> travel/exchange:8080"
SESSIONS = "travel/profile -> travel/sessions:8080"
WINDOWS, WINDOW_SECONDS, PERIOD_SECONDS = 60, 3.0, 6.0  # enough for all rounds, of about ten on a busy machine
ROUNDS = 4


@pytest.fixture(scope="module")
def runs() -> dict[str, dict[str, Any]]:
    """A run per edge, each a partition, after one baseline; windows that were not observed whole are taken again."""
    done: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        site = Site(stack, TRAVEL, WINDOWS, WINDOW_SECONDS, PERIOD_SECONDS)
        for _ in range(ROUNDS):
            baseline = quiet_baseline(site)
            taken = [take(site, edge("edge-partition", one), baseline) for one in (BANK, EXCHANGE, SESSIONS)]
            for one in taken:
                kept = recorded(site, one)
                if not kept["invalid"]:
                    done[one.planned.target.edge] = compared(kept)
            if len(done) == len(taken):
                break
        else:
            raise PodsonarError(f"no run of {ROUNDS} rounds was observed whole: {kept['invalid']}")
    return done


def changed(run: dict[str, Any]) -> dict[str, str]:
    """The state of every edge that changed."""
    return {one["edge"]: one["state"] for one in run["edges"] if one["touched"]}


def misses(run: dict[str, Any]) -> dict[str, str]:
    """The cause of every edge that changed and was not predicted."""
    return {one["edge"]: one["cause"] for one in run["edges"] if one["touched"] and not one["predicted"]}


def predicted(run: dict[str, Any]) -> dict[str, str]:
    """The predicted effect of every edge that has one."""
    return {one["edge"]: one["predicted"] for one in run["edges"] if one["predicted"]}


def found(run: dict[str, Any], name: str) -> dict[str, Any]:
    """The run's edge of that name."""
    (one,) = (one for one in run["edges"] if one["edge"] == name)
    return one  # type: ignore[no-any-return]


def test_hard_dependency_fails_its_callers_and_silences_what_comes_after_it(runs: dict[str, dict[str, Any]]) -> None:
    """One edge is predicted and breaks; calls behind it are left out, its callers retry, and all exposed fail."""
    run = runs[BANK]
    assert predicted(run) == {BANK: "breaks"}
    assert changed(run) == {
        BANK: "broken",
        "travel/payment -> travel/ledger:8080": "silent",
        "travel/booking -> travel/mail:8080": "silent",
        "travel/booking -> travel/payment:8080": "surging",
        "travel/booking -> travel/seats:8080": "surging",
        "travel/web -> travel/booking:8080": "surging",
    }
    assert misses(run) == {
        "travel/payment -> travel/ledger:8080": "hard dependency",
        "travel/booking -> travel/mail:8080": "hard dependency",
        "travel/booking -> travel/payment:8080": "behind a retry storm",
        "travel/booking -> travel/seats:8080": "behind a retry storm",
        "travel/web -> travel/booking:8080": "retry storm",
    }
    exposed = run["exposed"]
    assert exposed["predicted"] == exposed["harmed"] == ["booking", "payment", "visitors", "web"]


def test_retry_storm_multiplies_attempts_and_a_hidden_fallback_appears(runs: dict[str, dict[str, Any]]) -> None:
    """Five tries for one on the broken edge; two edges that no baseline has; only the target's requests fail."""
    run = runs[EXCHANGE]
    assert predicted(run) == {EXCHANGE: "breaks"}
    assert changed(run) == {
        EXCHANGE: "broken",
        "travel/search -> travel/archive:8080": "new",
        "travel/archive -> travel/storage:8080": "new",
    }
    assert misses(run) == {
        "travel/search -> travel/archive:8080": "hidden fallback",
        "travel/archive -> travel/storage:8080": "behind a fallback",
    }
    assert found(run, EXCHANGE)["surge"] > 3
    assert run["exposed"]["predicted"] == ["fares", "search", "visitors", "web"]
    assert run["exposed"]["harmed"] == ["fares"]
    assert run["exposed"]["unharmed"]["search"]["cause"] == "absorbed"


def test_pool_hides_its_failure_from_the_map(runs: dict[str, dict[str, Any]]) -> None:
    """Every call fails on a connection that stays open: no connect, so the edge is not judged, and no state changes."""
    run = runs[SESSIONS]
    assert predicted(run) == {SESSIONS: "breaks"}
    assert changed(run) == {}
    pooled = found(run, SESSIONS)
    assert (pooled["state"], pooled["cause"], pooled["openedBefore"][0]) == ("not exercised", "pool", True)
    assert "bytes before, 0 then" in pooled["sentence"]
    assert run["exposed"]["harmed"] == ["profile"]
