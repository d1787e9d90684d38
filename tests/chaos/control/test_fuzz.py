"""Whatever comes in, the server sides answer with a status below 500 and an error of their shape.

`FUZZ_EXAMPLES` sets the number of requests per route.
"""

import os
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chaos.conftest import Manager
from tests.chaos.control.linux.conftest import LSERVER, TENANT, Host, sample
from tests.manager.conftest import CLIENT

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "8"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
NAMES = st.sampled_from(["level", "pos", "out", "time", "args", "extra"])
LINES = st.lists(st.dictionaries(NAMES, JSON, max_size=6), max_size=4)
FUZZED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def changed(value: Any) -> st.SearchStrategy[Any]:
    """A JSON value like a given one, in which any part may be another."""
    if isinstance(value, dict):
        return JSON | st.fixed_dictionaries({name: changed(part) for name, part in value.items()})
    if isinstance(value, list):
        return JSON | st.lists(changed(value[0]) if value else JSON, max_size=3)
    return st.just(value) | JSON


def encode(value: Any) -> bytes:
    """JSON; integers that orjson does not take as a text."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return str(value).encode("utf-8", "replace")


def check(answer: httpx.Response, member: str) -> None:
    """A status below 500, and for an error one sentence."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert isinstance(answer.json()[member], str)


@FUZZED
@given(body=LINES | JSON | st.binary(max_size=60), key=TEXT, last=TEXT)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/stream"), ("POST", "/blob"), ("POST", ""), ("GET", "/blob")])
def test_log_service_answers(manager: Manager, method: str, path: str, body: Any, key: str, last: str) -> None:
    """Lines, keys and ids of any kind; what was taken can be read."""
    raw = body if isinstance(body, bytes) else encode(body)
    query = {"lastEventId": last}
    answer = manager.log(method, path, key, raw, query=query)
    check(answer, "error_msg")
    if method == "PUT" and answer.status_code == 204:
        assert manager.log("GET", "/blob", key).status_code == 200


@FUZZED
@given(data=st.data())
@pytest.mark.parametrize("path", ["/confirm", "/liveness", "/logs", "/task/status", "/task/result"])
def test_agents_requests_are_answered(host: Host, path: str, data: st.DataObject) -> None:
    """Bodies like the document's in which any part is another."""
    shapes: dict[str, Any] = {
        "/confirm": {"hostname": "a", "version": "1"},
        "/liveness": {},
        "/logs": sample("logs"),
        "/task/status": {"taskStatus": "Running", "lceUID": "x"},
        "/task/result": sample("result"),
    }
    body = encode(data.draw(changed(shapes[path])))
    task = f"/{host.make()['taskName']}" if path.startswith("/task") else ""
    url, headers = f"{host.manager.url}{LSERVER}{path}{task}", {"X-Access-Key": host.key}
    check(CLIENT.post(url, content=body, headers=headers), "message")


@FUZZED
@given(data=st.data())
def test_guarded_runs_and_questions_of_edges_are_answered(manager: Manager, host: Host, data: st.DataObject) -> None:
    """Experiments with guards, a hypothesis and a probe of an edge, in which any part is another; and its question."""
    edge = {"edge": "a/b -> c/d:80", "expect": "holds", "minEstablished": "9%", "maxSurge": 2, "minAttempts": 1}
    definition = {
        "targets": {
            "selectors": {"workloads": [{"kind": "deployment", "namespace": "a", "names": "b", "labels": "x"}]}
        },
        "chaos": {"experiment": "edge-loss", "env": [{"name": "TOTAL_CHAOS_DURATION", "value": "9" * 5000}]},
    }
    spec = {
        "tasks": [{"name": "t", "definition": definition, "probeRef": [{"probeID": "p", "mode": "EOT"}]}],
        "steps": [[{"name": "t"}]],
        "probes": [{"name": "p", "type": "edgeProbe", "edgeProbe/inputs": edge}],
        "guards": {"maxExposedServices": 1, "protectedLabels": ["a=b"], "allowBlind": True},
        "hypothesis": {"breaks": ["a/b -> c/d"], "elsewhere": "holds"},
    }
    experiment = {"kind": "KubernetesChaosExperiment", "metadata": {"name": "x", "namespace": "y"}, "spec": spec}
    headers, tenant = {"X-API-Key": host.admin}, TENANT | {"environmentIdentifier": "env"}
    for changes in (("tasks",), ("guards", "hypothesis"), ("probes",), tuple(spec)):
        other = spec | {name: data.draw(changed(spec[name])) for name in changes}
        body = encode({"infraID": "i", "experiment": experiment | {"spec": other}})
        check(CLIENT.post(f"{manager.url}/v1/chaos/runs", params=tenant, content=body, headers=headers), "message")
    settings = [{"name": name, "value": "9" * size} for name, size in (("POD_AFFECTED_PERCENTAGE", 400), ("X", 1))]
    definition["chaos"] = {"experiment": "pod-delete", "env": settings}
    order = encode({"infraID": "i", "experiment": experiment})
    made = CLIENT.post(f"{manager.url}/v1/chaos/runs", params=tenant, content=order, headers=headers)
    assert made.status_code == 201, made.text
    path = f"i/{made.json()['experimentID']}/{made.json()['runID']}"
    question = encode(data.draw(changed({"edge": edge, "from": 1, "until": 2})))
    url = f"{manager.url}/chaos/kserver/api/infra/v2/task/edge/{path}"
    key = {"X-Access-Key": made.json()["accessKey"]}
    check(CLIENT.post(url, params=tenant, content=question, headers=key), "message")


@FUZZED
@given(data=st.data())
def test_peoples_tasks_are_answered(host: Host, data: st.DataObject) -> None:
    """Actions like the document's in which any part is another: taken or refused, and what is taken is handed out."""
    action = data.draw(changed(sample("task")["taskList"][0]["action"]))
    body = encode({"infra": host.id, "name": "x", "action": action})
    answer = CLIENT.post(
        f"{host.manager.url}/v1/chaos/linux/tasks", params=TENANT, content=body, headers={"X-API-Key": host.admin}
    )
    check(answer, "message")
    assert host.ask("GET", "/task").status_code == 200
