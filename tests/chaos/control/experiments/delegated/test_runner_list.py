"""The list of a run's runner: its keys, its images, its abort, and that a run that is over is not brought."""

from typing import Any

import pytest

from chaos.control.experiments.runs.ends import end_overdue
from delegate.stages.check import check
from manager.installations.agent_values import ConfigRefusedError
from manager.installations.handout import AskedDirectory
from manager.installations.tasks import end_task
from manager.store.api_settings import save_settings
from manager.store.experiments.runs import find_run_of_key
from manager.store.logs.tokens import find_log_writer
from podsonar.settings import DelegateRules
from tests.chaos.control.experiments.delegated.run_desk import (
    FIRST,
    NOON,
    SECOND,
    SECONDS,
    SOURCE,
    TENANT,
    Desk,
    log_tokens,
)
from tests.chaos.control.experiments.delegated.run_desk import desk as desk  # noqa: PLC0414 - a fixture
from tests.chaos.control.experiments.delegated.run_desk import windows_desk as windows_desk  # noqa: PLC0414 - a fixture

KINDS = ("ServiceAccount", "Secret", "ConfigMap", "Role", "RoleBinding", "Role", "RoleBinding", "Service", "Deployment")


def secret_of(bodies: list[dict[str, Any]]) -> dict[str, str]:
    """The members of the list's Secret."""
    found: dict[str, str] = next(body["stringData"] for body in bodies if body["kind"] == "Secret")
    return found


def test_list_has_the_keys_of_its_run_and_is_the_same_when_it_is_handed_out_again(desk: Desk) -> None:
    """The key opens the run, that of the order does not, nobody has it; one token writes its logs, and none before."""
    (task,) = desk.lease()
    assert log_tokens(desk.store, desk.made.run_id) == 0
    found = desk.wire(task)
    assert tuple(body["kind"] for body in found["manifests"]) == KINDS
    assert (found["kind"], found["await"], found["log"]["key"]) == (
        "apply",
        {"seconds": 60.0},
        f"{desk.made.run_id}-delegate",
    )
    secret = secret_of(found["manifests"])
    with desk.store.reading() as connection:
        assert find_run_of_key(connection, secret["ACCESS_KEY"]) == desk.made.run_id
        assert find_run_of_key(connection, desk.made.key) is None
    writer = find_log_writer(desk.store, secret["LOG_SERVICE_TOKEN"], NOON + 1)
    assert writer is not None
    assert writer.may_write("acc", f"{desk.made.run_id}-step")
    settings = next(body["data"] for body in found["manifests"] if body["kind"] == "ConfigMap")
    assert settings["KUBERNETES_INFRA_SERVICE_ENDPOINT"] == "https://manager.example/chaos/kserver/api"
    assert settings["PODSONAR_MANAGER_CA"] == "PEM"
    pod = found["manifests"][-1]["spec"]["template"]["spec"]
    assert (pod["containers"][0]["image"], "imagePullSecrets" in pod) == ("localhost/podsonar-collector:9.9", False)
    desk.now_ns += 61 * SECONDS
    (again,) = desk.lease()
    assert again.attempt == 2
    assert desk.wire(again)["manifests"] == found["manifests"]
    assert log_tokens(desk.store, desk.made.run_id) == 1


def test_images_come_from_the_tenant_s_registry(desk: Desk) -> None:
    """With the secrets to pull them."""
    with desk.store.writing() as connection:
        registry = {"server": "registry.example", "account": "mirror", "secrets": ["pull"]}
        save_settings(connection, TENANT, registry, "ada", NOON)
    (task,) = desk.lease()
    pod = desk.wire(task)["manifests"][-1]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/mirror/podsonar-collector:9.9"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize("rotated", [False, True])
def test_abort_is_the_same_list_but_for_the_config_map(desk: Desk, rotated: bool) -> None:
    """Whatever was upgraded meanwhile; without the Secret, which is accepted, if the delegate's token was rotated."""
    (task,) = desk.lease()
    first = desk.wire(task)["manifests"]
    desk.report(task, "SUCCESS", result="created")
    desk.stop()
    (abort,) = desk.lease()
    found = desk.wire(abort, SECOND if rotated else FIRST, SOURCE._replace(tag="10.0"))
    assert found["await"] == {"seconds": 0.0}
    annotations = {
        "podsonar.io/action": "abort",
        "podsonar.io/abort-runs": desk.made.run_id,
        "podsonar.io/abort-reason": "enough",
    }
    expected = []
    for body in first:
        metadata = body["metadata"]
        if body["kind"] == "ConfigMap":
            metadata = metadata | {"annotations": metadata["annotations"] | annotations}
        if body["kind"] != "Secret" or not rotated:
            expected.append(body | {"metadata": metadata})
    assert found["manifests"] == expected
    places = sorted({body["metadata"]["namespace"] for body in first})
    rules = DelegateRules(
        name="d", namespaces=places, image_prefixes=["localhost/podsonar-"], rbac="managed", runners=True
    )
    assert check(found["manifests"], rules) == []


def test_list_of_a_run_with_windows_names_the_secret_that_its_delegate_has_named(windows_desk: Desk) -> None:
    """The collector and a reference, and the token nowhere; the abort the same, whatever the delegate says by then."""
    desk, directory = windows_desk, AskedDirectory("http://collector.ordered:8766", "agents-token", "token")
    (task,) = desk.lease()
    first = desk.wire(task, directory=directory)["manifests"]
    variables = first[-1]["spec"]["template"]["spec"]["containers"][0]["env"]
    reference = {"secretKeyRef": {"name": "agents-token", "key": "token"}}
    assert variables[1:] == [
        {"name": "PODSONAR_DIRECTORY_URL", "value": "http://collector.ordered:8766"},
        {"name": "PODSONAR_DIRECTORY_TOKEN", "valueFrom": reference},
    ]
    assert not [body for body in first[:-1] if "DIRECTORY" in str(body)]
    desk.report(task, "SUCCESS", result="created")
    desk.stop()
    (abort,) = desk.lease()
    assert desk.wire(abort)["manifests"][-1] == first[-1]


def test_delegate_that_names_no_collector_brings_no_run_with_windows(windows_desk: Desk) -> None:
    """The task ends with the settings that are missing, and the run with the task: nothing was injected."""
    desk = windows_desk
    (task,) = desk.lease()
    with pytest.raises(ConfigRefusedError, match=r"expected its settings delegate\.directory\.url and"):
        desk.wire(task)
    with desk.store.writing() as connection:
        end_task(connection, task.id, "FAILED", "no collector", desk.now_ns)
    desk.follow()
    assert (desk.record.completed, desk.record.execution.phase) == (True, "Error")
    assert desk.task("remove") is None


def test_run_that_is_over_is_not_brought_any_more(desk: Desk) -> None:
    """The task ends where a delegate takes it after the run's deadline."""
    with desk.store.writing() as connection:
        assert end_overdue(connection, desk.record.deadline_ns) == [desk.made.run_id]
    (task,) = desk.lease()
    with pytest.raises(ConfigRefusedError, match="the run is over"):
        desk.wire(task)
    desk.follow()
    assert desk.task("remove") is None
