"""delegate/stages/runner_directory.py: a runner knows the collector that the delegate's settings name, and no other."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from delegate.app import check_rules
from delegate.stages.check import check
from podsonar.errors import SettingsError
from podsonar.settings import DelegateRules, DelegateSettings, RunnerDirectory
from tests.delegate.stages.test_runner_rules import RULES, runner

NAMED = RunnerDirectory(url="http://collector.hce:8766", secret="agents-token", key="token")
URL, TOKEN = "PODSONAR_DIRECTORY_URL", "PODSONAR_DIRECTORY_TOKEN"
Container = dict[str, Any]


def refusals(
    named: RunnerDirectory, given: RunnerDirectory, change: Callable[[Container], object] | None = None
) -> list[str]:
    """Why a list is refused whose manager gives this collector, after a change of its container."""
    bodies = runner(directory=given)
    (container,) = bodies[-1]["spec"]["template"]["spec"]["containers"]
    if change:
        change(container)
    return [one.message for one in check(bodies, msgspec.structs.replace(RULES, directory=named))]


def add(variable: dict[str, Any]) -> Callable[[Container], object]:
    """One more variable."""
    return lambda container: container["env"].append(variable)


def reference(name: str, **more: Any) -> dict[str, Any]:
    """A variable from the Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": NAMED.secret, "key": NAMED.key, **more}}}


def test_collector_of_the_settings_is_accepted() -> None:
    """As the manager makes the list, and only where the settings name one."""
    assert refusals(NAMED, NAMED) == []
    (refused, *_more) = refusals(RunnerDirectory(), NAMED)
    assert refused == "orders windows at a collector, and delegate.directory is empty"


@pytest.mark.parametrize(
    "given",
    [{"url": "http://evil.example"}, {"secret": "other"}, {"secret": "podsonar-delegate-token"}, {"key": "read-key"}],
)
def test_list_with_another_collector_or_secret_is_refused(given: dict[str, str]) -> None:
    """Which token it is, and where it goes, the settings say alone, of a Secret with the delegate's prefix, too."""
    found = refusals(NAMED, msgspec.structs.replace(NAMED, **given))
    assert f"{URL} or {TOKEN}, expected those of delegate.directory" in found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(add({"name": URL, "value": "http://evil.example"}), "expected those of", id="a second URL"),
        pytest.param(lambda c: c["env"].pop(1), "expected those of", id="the URL left to the ConfigMap"),
        pytest.param(lambda c: c["env"].reverse(), "expected those of", id="another order"),
        pytest.param(
            lambda c: c.update(env=[*c["env"][:2], reference(TOKEN, optional=True)]), "expected those of", id="optional"
        ),
        pytest.param(
            add({"name": "KUBERNETES_INFRA_SERVICE_ENDPOINT", "value": f"http://evil.example/$({TOKEN})"}),
            "'KUBERNETES_INFRA_SERVICE_ENDPOINT' beside the agents' token",
            id="the token in another variable",
        ),
        pytest.param(add(reference("COPY")), "'COPY' beside the agents' token", id="the token twice"),
        pytest.param(
            lambda c: c["envFrom"].append({"secretRef": {"name": NAMED.secret}}), "envFrom Secret", id="all of it"
        ),
        pytest.param(
            lambda c: c.update(env=[c["env"][0], reference("COPY")]),
            "environment variable of Secret 'agents-token'",
            id="under another name alone",
        ),
    ],
)
def test_token_goes_nowhere_else(change: Callable[[Container], object], expected: str) -> None:
    """Neither by another variable nor to another place."""
    found = refusals(NAMED, NAMED, change)
    assert any(expected in one for one in found), found


def test_list_that_is_no_runner_s_does_not_get_the_token() -> None:
    """An agent's pod mounts what its list brings, or what has the prefix."""
    bodies = runner(directory=NAMED)
    bodies[-1]["spec"]["template"]["spec"]["containers"][0]["args"] = ["collector", "run"]
    found = [one.message for one in check(bodies, msgspec.structs.replace(RULES, directory=NAMED))]
    assert any("environment variable of Secret 'agents-token'" in one for one in found), found


@pytest.mark.parametrize(
    ("directory", "more", "expected"),
    [
        ({"secret": ""}, {}, "expected all of them or none"),
        ({"url": ""}, {}, "expected all of them or none"),
        ({"key": ""}, {}, "expected all of them or none"),
        ({"url": "collector.hce:8766"}, {}, "is no URL"),
        ({"url": "http://a:b@collector.hce"}, {}, "is no URL"),
        ({"url": f"http://evil.example/$({TOKEN})"}, {}, "is no URL"),
        ({}, {"runners": False}, r"expected delegate\.runners: true with it"),
    ],
)
def test_settings_that_give_no_runner_a_collector_stop_the_delegate(
    directory: dict[str, str], more: dict[str, bool], expected: str
) -> None:
    """Half a collector, or one for nobody; the text has no value that may be secret."""
    rules = msgspec.structs.replace(RULES, directory=msgspec.structs.replace(NAMED, **directory), **more)
    with pytest.raises(SettingsError, match=expected):
        check_rules(DelegateSettings(delegate=rules))


def test_collector_of_the_settings_lets_the_delegate_start() -> None:
    """All three; by default none."""
    assert DelegateRules().directory.url == ""
    check_rules(DelegateSettings(delegate=msgspec.structs.replace(RULES, directory=NAMED)))
