"""The document's requests of a Linux agent and their answers, byte for byte."""

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.chaos.control.linux.conftest import LSERVER, Host, sample
from tests.manager.conftest import CLIENT

KEY = re.compile("[a-z0-9]{32}")


@pytest.mark.parametrize("prefix", [LSERVER, "/gateway/chaos/lserver/api/infra", "/chaos/lserver/api/infra"])
def test_confirm_gives_the_next_key_and_liveness_the_documents_bytes(host: Host, prefix: str) -> None:
    """The shape and alphabet of the key; every prefix."""
    answer = host.ask("POST", "/confirm", {"hostname": "ip-172-31-13-123", "version": "1.59.0"}, prefix=prefix)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert list(answer.json()) == ["infraID", "newAccessKey"]
    assert answer.json()["infraID"] == host.id
    assert KEY.fullmatch(answer.json()["newAccessKey"])
    alive = host.ask("POST", "/liveness", {}, answer.json()["newAccessKey"], prefix=prefix)
    assert (alive.status_code, alive.content) == (200, b'{ "message": "OK" }')


def test_old_key_is_good_until_the_new_one_is_used(host: Host) -> None:
    """An agent that crashed before it stored the new key confirms again; a used new key ends the old one."""
    first = host.confirm().json()["newAccessKey"]
    second = host.confirm().json()["newAccessKey"]
    assert host.ask("POST", "/liveness", key=first, elsewhere=True).status_code == 401
    assert host.ask("POST", "/liveness").status_code == 200
    assert host.ask("POST", "/liveness", key=second).status_code == 200
    assert host.ask("POST", "/liveness", elsewhere=True).status_code == 401
    third = host.confirm(key=second).json()["newAccessKey"]
    assert host.ask("GET", "/task", key=third).status_code == 200
    assert host.ask("GET", "/task", key=second, elsewhere=True).status_code == 401


def test_another_host_cannot_confirm_until_it_is_registered_again(host: Host) -> None:
    """409 for another host name; after a new registration any host may confirm, and the old keys are void."""
    host.key = host.confirm().json()["newAccessKey"]
    assert host.confirm("another").status_code == 409
    again = host.person("POST", f"/infras/{host.id}/token")
    assert again.status_code == 201
    assert host.ask("POST", "/liveness", elsewhere=True).status_code == 401
    host.key = again.json()["accessKey"]
    assert host.confirm("another").status_code == 200


def test_task_is_the_documents_but_for_its_ids(host: Host) -> None:
    """Members and order of the sample; the ids have its shapes."""
    made = host.make()
    expected = sample("task")
    answer = host.ask("GET", "/task")
    task = answer.json()["taskList"][0]
    assert re.fullmatch(r"linux-cpu-hog-\d{10}-linux-cpu-stress-[a-z0-9]{5}", task["taskName"])
    assert task["streamID"] == f"{made['runID']}-{task['taskName']}"
    given = {name: task[name] for name in ("taskName", "lceUID", "streamID")}
    expected["taskList"][0] |= given
    assert answer.content == orjson.dumps(expected)


def test_task_is_handed_out_once_and_again_with_the_same_id_after_its_lease(host: Host) -> None:
    """A second poll gets nothing; while a task runs `isActive` is true."""
    made = host.make()
    host.make()
    assert host.ask("GET", "/task").json()["taskList"][0]["lceUID"] == made["lceUID"]
    assert host.ask("GET", "/task").json() == {"taskList": [], "isActive": False}
    running = {"taskStatus": "Running", "lceUID": made["lceUID"]}
    answer = host.ask("POST", f"/task/status/{made['taskName']}", running)
    assert (answer.status_code, answer.content) == (200, b'{ "success": true }')
    assert host.ask("GET", "/task").json() == {"taskList": [], "isActive": True}
    assert host.task(made["taskName"])["status"] == "Running"


def test_status_of_another_id_is_409(host: Host) -> None:
    """Only the agent that has the task may report on it."""
    made = host.make()
    host.ask("GET", "/task")
    other = {"taskStatus": "Running", "lceUID": "4e2a8fb3-3736-4c12-ae55-c86c6030697d"}
    assert host.ask("POST", f"/task/status/{made['taskName']}", other).status_code == 409
    bad = {"taskStatus": "Flying", "lceUID": made["lceUID"]}
    assert host.ask("POST", f"/task/status/{made['taskName']}", bad).status_code == 400
    assert host.ask("POST", "/task/status/none", bad).status_code == 404


def test_sample_logs_are_kept_in_order(host: Host) -> None:
    """Three lines of `pos: 0` in one request; the same request with its id again changes nothing."""
    made = host.make()
    body = sample("logs") | {"streamID": made["streamID"]}
    for _ in range(2):
        answer = host.ask("POST", "/logs", body, headers={"Idempotency-Key": "logs-1"})
        assert (answer.status_code, answer.content) == (200, b'{ "success": true }')
    assert host.manager.lines(made["streamID"]) == body["logs"]
    assert host.ask("POST", "/logs", body | {"streamID": "another"}).status_code == 404
    assert host.ask("POST", "/logs", body | {"accountID": "another"}).status_code == 403


def test_access_key_writes_its_own_streams_by_the_log_service(host: Host, key: str) -> None:
    """As in the document, `X-Harness-Token` may be the access key; other keys are 403."""
    made = host.make()
    line = sample("logs")["logs"][0]
    assert host.manager.log("PUT", "/stream", made["streamID"], [line], token=host.key).status_code == 204
    assert host.manager.lines(made["streamID"]) == [line]
    assert host.manager.log("PUT", "/stream", key, [line], token=host.key).status_code == 403


def test_result_is_taken_once(host: Host) -> None:
    """200 and empty; the same again 200; another one 409. The result is read back as it was sent."""
    made = host.make()
    host.ask("GET", "/task")
    result = sample("result")
    path = f"/task/result/{made['taskName']}"
    for _ in range(2):
        answer = host.ask("POST", path, result)
        assert (answer.status_code, answer.content) == (200, b"")
    assert host.ask("POST", path, result | {"logs": "other"}).status_code == 409
    found = host.task(made["taskName"])
    assert (found["status"], found["result"]) == ("Error", result)
    assert host.ask("POST", path, {"result": {"taskStatus": "?"}}).status_code == 400


def test_stop_is_confirmed_by_the_agent_alone(host: Host) -> None:
    """`Running` with a message until the agent reports; a task that nobody has is over at once."""
    made = host.make()
    host.ask("GET", "/task")
    status = {"taskStatus": "Running", "lceUID": made["lceUID"]}
    host.ask("POST", f"/task/status/{made['taskName']}", status)
    assert host.person("POST", f"/tasks/{made['taskName']}/stop", {"reason": "enough"}).status_code == 200
    found = host.task(made["taskName"])
    assert (found["status"], "not confirmed" in found["message"]) == ("Running", True)
    answer = host.ask("POST", f"/task/status/{made['taskName']}", status)
    assert answer.json() == {"success": True, "abort": True}
    stopped = {"result": {"taskStatus": "Stopped", "verdict": "Stopped"}, "logs": ""}
    assert host.ask("POST", f"/task/result/{made['taskName']}", stopped).status_code == 200
    assert host.task(made["taskName"])["status"] == "Stopped"
    waiting = host.make()
    host.person("POST", f"/tasks/{waiting['taskName']}/stop")
    assert host.task(waiting["taskName"])["status"] == "Stopped"


def test_two_hosts_and_two_tenants_share_nothing(host: Host, new_host: Callable[..., Host]) -> None:
    """A host gets 404 for another's task; another account's person sees neither host nor task."""
    other, foreign = new_host(), new_host(accountIdentifier="foreign")
    made = host.make()
    body: dict[str, Any] = {"taskStatus": "Running", "lceUID": made["lceUID"]}
    for one in (other, foreign):
        assert one.ask("GET", "/task").json()["taskList"] == []
        assert one.ask("POST", f"/task/status/{made['taskName']}", body).status_code == 404
        assert one.ask("POST", f"/task/result/{made['taskName']}", sample("result")).status_code == 404
        logs = sample("logs") | {"streamID": made["streamID"], "accountID": one.tenant["accountIdentifier"]}
        assert one.ask("POST", "/logs", logs).status_code == 404
    assert foreign.person("GET", f"/tasks/{made['taskName']}").status_code == 404
    assert host.id not in foreign.person("GET", "/infras").text
    action = sample("task")["taskList"][0]["action"]
    assert foreign.person("POST", "/tasks", {"infra": host.id, "name": "x", "action": action}).status_code == 404
    assert foreign.person("DELETE", f"/infras/{host.id}").status_code == 404
    assert host.ask("POST", "/liveness", headers={"X-Infra-ID": other.id}, elsewhere=True).status_code == 401


def test_removed_host_is_401(host: Host) -> None:
    """Its key opens nothing; a key of scope read removes nothing."""
    assert host.person("DELETE", f"/infras/{host.id}", key=host.manager.key).status_code == 403
    assert host.person("DELETE", f"/infras/{host.id}").status_code == 200
    assert host.ask("POST", "/liveness", elsewhere=True).status_code == 401


@pytest.mark.parametrize("path", ["/confirm", "/liveness", "/logs", "/task/status/x", "/task/result/x"])
@pytest.mark.parametrize("content", [b"[", b"[]", b"1", b'{"hostname":1}', b"\xff", b'{"logs":{}}'])
def test_hostile_bodies_are_refused_in_one_sentence(host: Host, path: str, content: bytes) -> None:
    """400 or 404 with a message, never 500."""
    url, headers = f"{host.manager.url}{LSERVER}{path}", {"X-Access-Key": host.key}
    answer = CLIENT.post(url, content=content, headers=headers)
    if path == "/liveness" and content.startswith(b"{"):
        assert answer.status_code == 200
        return
    assert answer.status_code in {400, 404}
    assert set(answer.json()) == {"message"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probes": [{"name": "p", "type": "cmdProbe", "mode": "EOT"}]}, "cmdProbe/inputs"),
        ({"probes": [{"name": "p", "type": "other", "mode": "EOT"}]}, "Invalid enum value 'other'"),
        ({"experimentInputs": [{"name": "Duration", "value": "soon"}]}, "Duration"),
        ({"experimentInputs": [{"name": "Duration", "value": "25h"}]}, "Duration"),
        ({"experiment": 1}, "experiment"),
    ],
)
def test_action_that_no_agent_could_run_is_refused(host: Host, change: dict[str, Any], message: str) -> None:
    """The person who makes the task gets the reason, not the host."""
    action = {"chaos": sample("task")["taskList"][0]["action"]["chaos"] | change}
    answer = host.person("POST", "/tasks", {"infra": host.id, "name": "x", "action": action})
    assert answer.status_code == 400
    assert message in answer.json()["message"]
