"""Runs over HTTP, on both databases: made by a person, moved by a runner, stopped, ended by their deadline."""

import secrets
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from chaos.control.experiments.runs.ends import end_overdue
from manager.store.database import Store
from manager.store.experiments.runs import open_runs
from manager.store.tenancy import NO_TENANT, Tenant
from manager.store.tokens.issued import create_token
from podsonar.timestamp import NS_PER_SECOND
from tests.chaos.conftest import Manager
from tests.manager.conftest import CLIENT

SAMPLES = Path(__file__).parent / "samples"
EVENT = orjson.loads((SAMPLES / "event.json").read_bytes())
MANIFEST = orjson.loads((SAMPLES / "experimentrun.json").read_bytes())["data"]["experimentYaml"]
SCOPE = {"accountIdentifier": "acc", "organizationIdentifier": "org", "projectIdentifier": "pro"}
TENANT = SCOPE | {"environmentIdentifier": "env"}
INFRA = "prodecommerce"
ANSWER = (
    "Received task callback for taskType: WORKFLOW_EVENT, response: Workflow run received for for "
    "WorkflowID: {experiment}, WorkflowRunID: {run}"
)


@dataclass(frozen=True)
class Run:
    """A run and its runner's key."""

    url: str
    ids: dict[str, str]
    admin: str

    def fetch(self, **given: Any) -> httpx.Response:
        """GET experimentrun."""
        path = f"{given.get('infra', INFRA)}/{self.ids['experimentID']}/{given.get('run', self.ids['runID'])}"
        prefix = given.get("prefix", "/gateway/chaos/kserver/api")
        return CLIENT.get(
            f"{self.url}{prefix}/infra/v2/task/experimentrun/{path}",
            params=TENANT | given.get("query", {}),
            headers={"X-Access-Key": given.get("key", self.ids["accessKey"])},
        )

    def data(self) -> dict[str, Any]:
        """The run as its runner fetches it."""
        answer = self.fetch()
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found

    def event(self, execution: dict[str, Any], *, completed: bool = False, **arguments: Any) -> httpx.Response:
        """POST an event."""
        body = orjson.loads(orjson.dumps(EVENT))
        body["args"] |= {
            "executionData": orjson.dumps(execution).decode(),
            "completed": "true" if completed else "false",
            "notifyID": self.ids["notifyID"],
            "workflowID": self.ids["experimentID"],
            "workflowRunID": self.ids["runID"],
        } | arguments
        return CLIENT.post(
            f"{self.url}/chaos/kserver/api/infra/v2/task/response/{INFRA}",
            params=TENANT,
            headers={"X-Access-Key": self.ids["accessKey"]},
            content=orjson.dumps(body),
        )

    def person(self, method: str, path: str, body: Any = None, key: str = "") -> httpx.Response:
        """A person's request on runs."""
        content = b"" if body is None else orjson.dumps(body)
        headers = {"X-API-Key": key or self.admin}
        return CLIENT.request(
            method, f"{self.url}/v1/chaos/runs{path}", params=TENANT, headers=headers, content=content
        )


@pytest.fixture
def run(manager: Manager) -> Run:
    """A new run of the sample's experiment."""
    with closing(Store(manager.database)) as store:
        admin = create_token(store, "admin", "ada", 1, secrets.token_bytes, tenant=Tenant("acc", "org", "pro", "env"))
    made = CLIENT.post(
        f"{manager.url}/v1/chaos/runs",
        params=TENANT,
        headers={"Authorization": f"Bearer {admin.text()}"},
        content=orjson.dumps({"infraID": INFRA, "experiment": MANIFEST, "weights": {"pod-delete-wm3": 4}}),
    )
    assert made.status_code == 201, made.text
    return Run(manager.url, made.json(), admin.text())


def with_phases(execution: dict[str, Any], **phases: str) -> dict[str, Any]:
    """An execution whose steps have other phases."""
    for node in execution["nodes"].values():
        phase = phases.get(node["name"].split("-")[1])
        if node["type"] == "K8sTask" and phase:
            verdict = {"Running": "Awaited", "Completed": "Pass"}.get(phase, phase)
            node |= {"phase": phase, "finishedAt": "1746117600" if phase != "Running" else ""}
            node["chaosData"] |= {"experimentVerdict": verdict, "experimentStatus": phase}
    return execution


def test_new_run_waits_with_every_step_pending(run: Run) -> None:
    """The runner's key fetches it below both prefixes; a sequence counts the runs of an experiment."""
    data = run.data()
    assert (data["phase"], data["completed"], data["totalFaults"]) == ("Queued", False, 0)
    assert {node["phase"] for node in data["executionData"]["nodes"].values()} == {"Queued", "Pending"}
    assert data["experimentYaml"]["spec"] == MANIFEST["spec"]
    assert data["infraID"] == f"env/{INFRA}"
    assert run.fetch(prefix="/chaos/kserver/api").json()["data"]["experimentRunID"] == run.ids["runID"]
    assert len(run.ids["accessKey"]) == 32


def test_events_move_the_run_to_its_score(run: Run) -> None:
    """The answer is the document's text, byte for byte; completed is final; a repeated event changes nothing."""
    first = run.event(with_phases(run.data()["executionData"], delete="Running"))
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/json"
    assert first.text == ANSWER.format(experiment=run.ids["experimentID"], run=run.ids["runID"])
    assert run.data()["phase"] == "Running"
    final = with_phases(run.data()["executionData"], delete="Completed", cpu="Error")
    assert run.event(final, completed=True).status_code == 200
    assert run.event(final, completed=True).status_code == 200
    assert run.event(with_phases(run.data()["executionData"], delete="Running")).status_code == 200
    data = run.data()
    assert (data["phase"], data["completed"]) == ("Error", True)
    assert (data["resiliencyScore"], data["faultsPassed"], data["faultsFailed"], data["totalFaults"]) == (
        28.57,
        1,
        1,
        2,
    )


def test_stop_is_asked_and_not_claimed(run: Run) -> None:
    """Until the runner confirms, the run says what is true: asked, not confirmed, and when it ends for certain."""
    assert run.event(with_phases(run.data()["executionData"], delete="Running")).status_code == 200
    answer = run.person("POST", f"/{run.ids['runID']}/stop", {"reason": "enough"})
    assert answer.status_code == 202
    assert "not confirmed; ends by itself no later than" in answer.json()["message"]
    data = run.data()
    assert (data["phase"], data["completed"], data["stopRequested"]["reason"]) == ("Running", False, "enough")
    confirmed = with_phases(data["executionData"], delete="Stopped", cpu="Stopped")
    assert run.event(confirmed, completed=True).status_code == 200
    assert run.data()["phase"] == "Stopped"
    assert "stopRequested" not in run.data()


@pytest.mark.parametrize("asked", [True, False])
def test_overdue_run_ends_with_the_reason(manager: Manager, run: Run, asked: bool) -> None:
    """Stopped by its deadline, or Timeout of a silent runner; never Running for ever."""
    assert run.event(with_phases(run.data()["executionData"], delete="Running")).status_code == 200
    if asked:
        run.person("POST", f"/{run.ids['runID']}/stop")
    with closing(Store(manager.database)) as store, store.writing() as connection:
        deadline_ns = next(row["deadline_ns"] for row in open_runs(connection) if row["id"] == run.ids["runID"])
        assert run.ids["runID"] not in end_overdue(connection, deadline_ns - NS_PER_SECOND)
        assert run.ids["runID"] in end_overdue(connection, deadline_ns)
    data = run.data()
    assert (data["phase"], data["completed"]) == ("Stopped" if asked else "Timeout", True)
    message = data["executionData"]["nodes"]["api-payload-test-pod-delete-wm3"]["message"]
    assert ("not confirmed" if asked else "nothing is injected") in message


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({"key": "a" * 32}, 401, id="wrong key"),
        pytest.param({"key": ""}, 401, id="no key"),
        pytest.param({"query": {"accountIdentifier": "other"}}, 403, id="another account"),
        pytest.param({"query": {"projectIdentifier": "other"}}, 404, id="another project"),
        pytest.param({"query": {"environmentIdentifier": ""}}, 400, id="no environment"),
        pytest.param({"infra": "other"}, 404, id="another infrastructure"),
        pytest.param({"run": "other"}, 404, id="another run"),
    ],
)
def test_key_opens_its_own_run_alone(run: Run, given: dict[str, Any], status: int) -> None:
    """Errors have the document's shape and give no hint."""
    answer = run.fetch(**given)
    assert (answer.status_code, set(answer.json())) == (status, {"message"})


def test_event_of_another_run_is_not_taken(run: Run, manager: Manager) -> None:
    """A run's key moves that run alone."""
    other = run.person("POST", "", {"infraID": INFRA, "experiment": MANIFEST}).json()
    execution = run.data()["executionData"]
    assert run.event(execution, workflowRunID=other["runID"]).status_code == 404
    assert run.event(execution, workflowRunID="", notifyID=other["notifyID"]).status_code == 404
    assert run.event(execution, workflowRunID="").status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, "infraID", id="nothing"),
        pytest.param({"infraID": "x", "experiment": {}}, "experiment", id="no manifest"),
        pytest.param({"infraID": "x", "experiment": MANIFEST, "weights": {"nobody": 1}}, "weights", id="weights"),
        pytest.param({"infraID": "x", "experiment": MANIFEST | {"kind": "Pod"}}, "kind is 'Pod'", id="kind"),
        pytest.param(
            {"infraID": "x", "experiment": MANIFEST, "ownRunner": True, "delegate": "eks-1"},
            "delegate is 'eks-1' and ownRunner is true: expected one of them",
            id="own runner and delegate",
        ),
        pytest.param(
            {"infraID": "x", "experiment": MANIFEST, "ownRunner": True, "authority": "PEM"},
            "authority has 3 characters and ownRunner is true: expected none",
            id="own runner and authority",
        ),
        pytest.param(
            {"infraID": "x", "experiment": MANIFEST, "authority": "PEM"},
            "authority has 3 characters and no delegate installed 'x': expected none",
            id="authority for nobody",
        ),
    ],
)
def test_bad_order_is_refused(run: Run, body: dict[str, Any], expected: str) -> None:
    """400 with what was expected, and nothing is stored; a key of scope read makes nothing."""
    before = run.person("GET", "").json()
    answer = run.person("POST", "", body)
    assert answer.status_code == 400
    assert expected in answer.json()["message"]
    assert run.person("GET", "").json() == before


def test_scopes_and_tenants(run: Run, manager: Manager) -> None:
    """A read key reads and makes nothing; another tenant sees nothing."""
    with closing(Store(manager.database)) as store:
        tenant = Tenant("acc", "org", "pro", "env")
        reader = create_token(store, "read", "bob", 1, secrets.token_bytes, tenant=tenant).text()
        elsewhere = create_token(store, "admin", "eve", 1, secrets.token_bytes, tenant=NO_TENANT).text()
    assert run.person("POST", "", {"infraID": "x", "experiment": MANIFEST}, key=reader).status_code == 403
    assert run.person("GET", f"/{run.ids['runID']}", key=reader).status_code == 200
    listed = run.person("GET", "", key=reader).json()["items"]
    assert run.ids["runID"] in {one["runID"] for one in listed}
    answer = CLIENT.get(f"{run.url}/v1/chaos/runs/{run.ids['runID']}", headers={"X-API-Key": elsewhere})
    assert answer.status_code == 404
