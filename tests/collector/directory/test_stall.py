"""After any stall, no event that waits unread is older than `asOf`: the former owner of an address is never named."""

import random
import threading
import time
from typing import Any

import pytest

from collector.directory import reflector as reflector_module
from collector.directory.live_directory import LiveDirectory
from collector.directory.progress_proof import ProgressProof, version_number
from collector.directory.reflector import Reflector
from collector.directory.watch_events import WatchEvent
from collector.k8s.kinds import WatchTarget
from tests.collector.directory.followed_pods import live_directory, pod, until
from tests.collector.ordered_api import OrderedApi


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes and tries follow each other quickly; how long they wait is no matter of these tests."""
    monkeypatch.setattr(reflector_module, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(reflector_module, "PROBE_PACE_SECONDS", 0.01)


@pytest.mark.parametrize("probe_seconds", [0.0, 0.05, 10.0])
@pytest.mark.parametrize("seed", range(4))
def test_unread_event_is_never_older_than_what_is_known(
    seed: int, probe_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes at any time, a reader that stalls at any time, progress requested at any time: the order holds."""
    monkeypatch.setattr(reflector_module, "PROBE_SECONDS", probe_seconds)
    chance = random.Random(seed)  # noqa: S311 - no secret
    api = OrderedApi()
    live = live_directory(api)  # type: ignore[arg-type]
    reflector = live.reflectors["Pod"]
    applied = [0]
    wrong: list[str] = []
    advance, apply_event, list_all = live.advance, live.apply_event, reflector.list_all

    def slow_apply(target: WatchTarget, change: WatchEvent) -> None:
        if chance.random() < 0.1:
            time.sleep(chance.random() / 20)  # the process stands still, whatever the reason
        apply_event(target, change)
        applied[0] = int(change.version)

    def checked_advance(target: WatchTarget, at_ns: int) -> None:
        with api.lock:
            unread = [when for version, when, _line in api.changes if version > applied[0]]
        if unread and unread[0] <= at_ns:
            wrong.append(f"asOf is {at_ns - unread[0]} ns after an unread event")
        advance(target, at_ns)

    def checked_list() -> str:
        version = list_all()
        applied[0] = int(version)
        return version

    live.apply_event, live.advance = slow_apply, checked_advance  # type: ignore[method-assign]
    reflector.list_all = checked_list  # type: ignore[method-assign]
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        make_changes(chance, api, reflector)
        ended_ns = time.time_ns()
        until(lambda: (reflector.request_progress(), live.through_ns.get("Pod", 0) >= ended_ns)[1])
    finally:
        reflector.end()
        thread.join(60)
    assert not thread.is_alive()
    assert wrong == []


def make_changes(chance: random.Random, api: OrderedApi, reflector: Reflector) -> None:
    """Make 300 changes at any time, and request progress now and then."""
    for number in range(300):
        api.change(chance.choice(["ADDED", "MODIFIED", "DELETED"]), pod(f"p{number % 20}", f"10.244.0.{number % 20}"))
        if chance.random() < 0.1:
            reflector.request_progress()
        if chance.random() < 0.05:
            time.sleep(chance.random() / 20)


def received(proof: ProgressProof, *steps: Any) -> list[int | None]:
    """What each step proves: a text is an event's version, a pair is a probe."""
    return [proof.receive(step) if isinstance(step, str) else proof.probed(*step) for step in steps]


@pytest.mark.parametrize(
    ("steps", "proven"),
    [
        ((("5", 100),), [100]),  # nothing has changed
        (("6", "7", "8"), [None, None, None]),  # events alone prove no moment
        ((("9", 100), "6", "8", "9"), [None, None, None, 100]),
        ((("9", 100), "12"), [None, 100]),
        ((("9", 100), "8", ("11", 200), "10", "11"), [None, None, None, None, 200]),
        ((("4", 100), "6", "7"), [None, None, None]),  # an answer from the past proves nothing, later either
        ((("9", 100), "9", "10"), [None, 100, None]),  # once
        ((("x", 100), "6", "x"), [None, None, 100]),  # no number: equality alone
        ((("9", 100), "x", "9"), [None, None, 100]),
        ((("9", 100), "4", "9"), [None, None, 100]),  # an older event moves nothing back
        ((("10", 100), "9"), [None, None]),  # by number, not by text
    ],
)
def test_proof_is_the_order_of_versions(steps: tuple[Any, ...], proven: list[int | None]) -> None:
    """Whoever has received the version of a probe or a later one has received every change from before the probe."""
    assert received(ProgressProof("5"), *steps) == proven


@pytest.mark.parametrize("text", ["", "-1", "1e3", "٣", "0x10", "9" * 21, " 7"])
def test_version_of_another_form_is_no_number(text: str) -> None:
    """Digits of ASCII alone, of at most 64 bits or so."""
    assert version_number(text) is None


def test_known_moment_never_goes_back() -> None:
    """A proof of an earlier moment changes nothing."""
    live = LiveDirectory.__new__(LiveDirectory)
    live.through_ns, live.failures = {}, {}
    target: Any = type("Target", (), {"name": "Pod"})
    for at_ns in (5, 3, 7, 6):
        live.advance(target, at_ns)
    assert live.through_ns == {"Pod": 7}
