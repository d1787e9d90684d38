"""Bodies that one parser reads and another cannot write, at each API that keeps what it was sent: 400, never 500."""

import secrets
from collections.abc import Callable
from contextlib import closing
from typing import Any

import orjson
import pytest

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.chaos.conftest import Manager
from tests.chaos.control.experiments.test_kserver import MANIFEST, TENANT, Run
from tests.chaos.control.experiments.test_kserver import run as run  # noqa: PLC0414 - a fixture
from tests.chaos.control.linux.conftest import LSERVER, Host, sample
from tests.chaos.control.linux.conftest import TENANT as HOSTS
from tests.manager.conftest import CLIENT

PLACE = "@place@"
LEVELS = "nests too deep, expected at most 64 levels"
NUL = rb'"\u0000"'
BEYOND = {
    "65 lists": (b"[" * 65 + b"]" * 65, LEVELS),
    "300 objects": (b'{"a":' * 300 + b"1" + b"}" * 300, LEVELS),
    "5,000 lists": (b"[" * 5000 + b"]" * 5000, LEVELS),
    "65 bits": (b"18446744073709551616", "number 18446744073709551616, expected a whole number of 64 bits"),
    "64 bits below zero": (b"[-9223372036854775809]", "number -9223372036854775809, expected a whole"),
    "NUL": (NUL, "NUL character, expected text without it"),
}


def order(**members: Any) -> dict[str, Any]:
    """A new run."""
    return {"infraID": "prod", "experiment": MANIFEST} | members


def poll(**members: Any) -> dict[str, Any]:
    """A delegate's question."""
    return {"name": "d", "cluster": {"uid": "u"}, "waitSeconds": 0} | members


def in_targets() -> dict[str, Any]:
    """A member of an experiment that the manager stores as it is."""
    manifest: dict[str, Any] = orjson.loads(orjson.dumps(MANIFEST))
    manifest["spec"]["tasks"][0]["definition"]["targets"] = {"selectors": {"workloads": [{"labels": PLACE}]}}
    return order(experiment=manifest)


def changed(document: Any, *path: str) -> Any:
    """A document with the place in a new member of what the path names."""
    copy: Any = orjson.loads(orjson.dumps(document))
    place = copy
    for name in path:
        place = place[int(name) if name.isdecimal() else name]
    place["other"] = PLACE
    return copy


def people(run: Run, path: str) -> Callable[[bytes], Any]:
    """A person's POST about runs or hosts."""
    query = HOSTS if "linux" in path else TENANT
    return lambda body: CLIENT.post(run.url + path, params=query, content=body, headers={"X-API-Key": run.admin})


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize(
    ("path", "document"),
    [
        pytest.param("/v1/chaos/runs", order(plan={"a": PLACE}), id="plan"),
        pytest.param("/v1/chaos/runs", in_targets(), id="targets"),
        pytest.param("/v1/chaos/runs", order(experiment=changed(MANIFEST, "spec")), id="member nobody reads"),
        pytest.param("/v1/chaos/runs/x/stop", {"reason": "", "other": PLACE}, id="stop"),
    ],
)
def test_order_that_could_not_be_stored_is_refused(run: Run, path: str, document: Any, beyond: str) -> None:
    """400 with what it is; such a run would be in no list."""
    raw, expected = BEYOND[beyond]
    answer = people(run, path)(orjson.dumps(document).replace(f'"{PLACE}"'.encode(), raw))
    assert (answer.status_code, answer.json()["message"].partition("expected a whole")[0]) == (
        400,
        f"body: {expected}".partition("expected a whole")[0],
    )
    assert run.person("GET", "").status_code == 200


@pytest.mark.parametrize("beyond", BEYOND)
def test_question_about_an_edge_is_refused(run: Run, beyond: str) -> None:
    """The runner's question, too."""
    raw, expected = BEYOND[beyond]
    body = b'{"edge":{"edge":"a/b -> c/d"},"from":1,"until":2,"other":%b}' % raw
    url = f"{run.url}/chaos/kserver/api/infra/v2/task/edge/prodecommerce/{run.ids['experimentID']}/{run.ids['runID']}"
    answer = CLIENT.post(url, params=TENANT, content=body, headers={"X-Access-Key": run.ids["accessKey"]})
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["message"]


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("path", ["/v1/delegates/poll", "/v1/delegates/tasks/x/status"])
def test_delegates_body_is_refused(manager: Manager, path: str, beyond: str) -> None:
    """A member that nobody reads can be too deep for the parser itself."""
    with closing(Store(manager.database)) as store:
        token = create_token(store, "delegate", "d", 1, secrets.token_bytes).text()
    report = {"delegateID": "d", "attempt": 1, "status": "RUNNING", "other": PLACE}
    document = poll(other=PLACE) if path.endswith("poll") else report
    raw, expected = BEYOND[beyond]
    body = orjson.dumps(document).replace(f'"{PLACE}"'.encode(), raw)
    answer = CLIENT.post(manager.url + path, content=body, headers={"Authorization": f"Token {token}"})
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["message"]


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("path", ["/task/result", "/logs"])
def test_hosts_body_is_refused_where_it_could_not_be_written_again(host: Host, path: str, beyond: str) -> None:
    """Text with NUL is a program's output: it is kept."""
    made = host.make()
    document = sample("result" if path == "/task/result" else "logs")
    if path == "/logs":
        document = changed(document | {"streamID": made["streamID"]}, "logs", "0")
    else:
        document = changed(document, "result")
    raw, expected = BEYOND[beyond]
    body = orjson.dumps(document).replace(f'"{PLACE}"'.encode(), raw)
    task = f"/{made['taskName']}" if path == "/task/result" else ""
    url = f"{host.manager.url}{LSERVER}{path}{task}"
    answer = CLIENT.post(url, content=body, headers={"X-Access-Key": host.key})
    assert answer.status_code == (200 if beyond == "NUL" else 400), answer.text
    if beyond != "NUL":
        assert expected in answer.json()["message"]
    assert host.person("GET", f"/tasks/{made['taskName']}").status_code == 200


@pytest.mark.parametrize("beyond", BEYOND)
def test_action_of_a_host_is_refused(host: Host, beyond: str) -> None:
    """What people order is stored as it is, and stands in an agent's answer."""
    raw, expected = BEYOND[beyond]
    action = changed(sample("task")["taskList"][0]["action"], "chaos")
    body = orjson.dumps({"infra": host.id, "name": "x", "action": action}).replace(f'"{PLACE}"'.encode(), raw)
    url = f"{host.manager.url}/v1/chaos/linux/tasks"
    answer = CLIENT.post(url, params=HOSTS, content=body, headers={"X-API-Key": host.admin})
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["message"]


@pytest.mark.parametrize("levels", [65, 300, 1000])
def test_log_line_that_nests_too_deep_is_refused(manager: Manager, key: str, levels: int) -> None:
    """In a member that the log service does not know; the line is named."""
    line = b'{"out":"x","other":%b}' % (b"[" * levels + b"]" * levels)
    answer = manager.log("PUT", "/stream", key, b'[{"out":"first"},%b]' % line)
    assert (answer.status_code, answer.json()) == (400, {"error_msg": f"line 1: {LEVELS}"})
    assert manager.log("PUT", "/stream", key, [{"out": "x", "other": {"a": [1]}}]).status_code == 204
    assert [line["out"] for line in manager.lines(key)] == ["x"]


@pytest.mark.parametrize("levels", [65, 300, 1000, 5000])
def test_uploaded_line_that_nests_too_deep_is_text(manager: Manager, key: str, levels: int) -> None:
    """It is kept as it was sent, and the lines beside it are read."""
    deep = b'{"out":%b}' % (b"[" * levels + b"]" * levels)
    assert manager.log("PUT", "/stream", key, [{"out": "streamed"}]).status_code == 204
    assert manager.log("POST", "/blob", key, b'{"out":"before"}\n%b\n{"out":"after"}' % deep).status_code == 204
    assert sorted(line["out"] for line in manager.lines(key)) == ["after", "before", "streamed", deep.decode()]


@pytest.mark.parametrize("pod", ["\0", "a\0b", "\u00e9" * 5000, secrets.token_hex(50_000)])
def test_odd_name_of_a_pod_keeps_no_line_out(manager: Manager, key: str, pod: str) -> None:
    """The name stands in an index; lines of two pods of such names stay those of two writers."""
    for name in (pod, pod + "x"):
        lines = [{"out": f"{place}", "pos": place, "args": {"PodName": name}} for place in (1, 2)]
        assert manager.log("PUT", "/stream", key, lines).status_code == 204
    info = manager.info(key)
    assert (info["lines"], info["conflicts"], info["duplicates"]) == (4, 0, 0)


def test_nul_in_path_and_query_is_refused(run: Run) -> None:
    """No database stores it."""
    for path in ("/v1/chaos/runs/%00", "/v1/chaos/runs/%00/impact"):
        answer = CLIENT.get(run.url + path, params=TENANT, headers={"X-API-Key": run.admin})
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            "NUL character in path or query, expected text without it",
        )
    assert run.fetch(run="%00").status_code == 400
    assert run.fetch(query={"organizationIdentifier": "\0"}).status_code == 400


@pytest.mark.parametrize("name", ["notifyID", "workflowRunID", "workflowID"])
def test_nul_in_the_ids_of_an_event_is_refused(run: Run, name: str) -> None:
    """The run is looked up by them."""
    answer = run.event(run.data()["executionData"], **{"workflowRunID": "", name: "\0"})
    assert (answer.status_code, answer.json()["message"]) == (400, "event: NUL character, expected ids without it")
