"""Watch-list requests: taken where the server has them, listed by pages where it has not, no proof when broken."""

from collections.abc import Callable

import pytest

from collector.directory.live_directory import LiveDirectory
from collector.directory.reflector import Reflector
from podsonar.errors import ApiServerError, WatchRefusedError
from tests.collector.directory.followed_pods import followed as followed  # noqa: PLC0414 - a fixture
from tests.collector.directory.followed_pods import live_directory, pod, until
from tests.collector.directory.followed_pods import no_waiting as no_waiting  # noqa: PLC0414 - a fixture
from tests.collector.scripted_api import ScriptedApi, bookmark, event


def test_watch_list_is_taken_where_the_server_has_it(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """Every object in one stream, its end marked by the server; no list is made."""
    api = ScriptedApi(watch_list=True)
    live = live_directory(api)
    api.script.put([event("ADDED", pod("a")), event("ADDED", pod("b", "10.244.0.10")), bookmark("31", end=True)])
    followed(live)
    until(lambda: len(api.asked) == 2)
    assert (api.listed, len(live.directory.pods), api.asked[1]["resourceVersion"]) == (0, 2, "31")
    assert live.metrics.streamed.labels("Pod")._value.get() == 1


@pytest.mark.parametrize("said", [[bookmark("8")], [event("ADDED", pod("a")), bookmark("8")]])
def test_server_that_ignores_the_watch_list_request_is_listed_by_pages(
    said: list[bytes], followed: Callable[[LiveDirectory], Reflector]
) -> None:
    """An old server begins a plain watch: its first bookmark ends nothing, so nothing is taken as gone."""
    api = ScriptedApi({"pods": [pod("a"), pod("b", "10.244.0.10")]}, watch_list=True)
    live = live_directory(api)
    api.script.put(list(said))
    followed(live)
    until(lambda: live.whole == {"Pod"})
    assert (api.listed, len(live.directory.pods)) == (1, 2)


def test_watch_list_that_breaks_proves_no_absence(followed: Callable[[LiveDirectory], Reflector]) -> None:
    """Half of the initial events and then nothing: the other half is not gone."""
    api = ScriptedApi(watch_list=True)
    live = live_directory(api)
    both = [event("ADDED", pod("a")), event("ADDED", pod("b", "10.244.0.10"))]
    api.script.put([*both, bookmark("31", end=True)])
    api.script.put(WatchRefusedError("too old", 410))
    api.script.put([both[0], ApiServerError("cut")])
    followed(live)
    until(lambda: len(api.asked) >= 4)
    assert live.directory.missing("Pod", set()) == ["a", "b"]
