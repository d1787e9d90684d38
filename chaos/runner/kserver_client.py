"""The runner's requests to the manager: fetch the run, post events until they are taken."""

from typing import Any

import httpx
import msgspec
import orjson
import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from chaos.runner.environment import RunnerEnvironment
from chaos.task_action import EdgeInputs
from podsonar.cookies import no_cookies
from podsonar.errors import PodsonarError, words_of
from podsonar.keep_alive import CLIENT_IDLE_SECONDS

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
AHEAD_SECONDS = 30.0  # for the answer to an event that must be stored before an injection
KEEP_SECONDS = 900.0  # for all others
RECEIVED = b"Received task callback"  # how the answer to an event begins; a page of a proxy does not
RETRIED = (408, 425, 429, 500, 502, 503, 504)

log = structlog.get_logger()


class KserverError(PodsonarError):
    """The manager refuses."""


class KserverUnavailableError(KserverError):
    """The manager cannot be reached now."""


class Kserver:
    """One run at the manager."""

    def __init__(self, settings: RunnerEnvironment, experiment_id: str, run_id: str, notify_id: str) -> None:
        self.settings = settings
        self.experiment_id, self.run_id, self.notify_id = experiment_id, run_id, notify_id
        self.http = httpx.Client(
            headers={"X-Access-Key": settings.access_key, "Accept": "application/json"},
            params=settings.query,
            cookies=no_cookies(),
            timeout=TIMEOUT,
            limits=httpx.Limits(keepalive_expiry=CLIENT_IDLE_SECONDS),
            verify=settings.verify,
        )

    def fetch(self) -> dict[str, Any]:
        """The run, `data` of the document's answer. KserverUnavailableError at once if the manager is away."""
        path = f"/infra/v2/task/experimentrun/{self.settings.infra_id}/{self.experiment_id}/{self.run_id}"
        run = self.read_object("run", {"data"}, "GET", path)["data"]
        if not isinstance(run, dict):
            raise KserverUnavailableError(f"manager {self.settings.endpoint}: GET answered no run, expected its data")
        return run

    def ask_edge(self, inputs: EdgeInputs, began: float, over: float) -> dict[str, Any]:
        """What the map says of an edge between two times in seconds since 1970: `outcome`, `reason`, `settled`."""
        path = f"/infra/v2/task/edge/{self.settings.infra_id}/{self.experiment_id}/{self.run_id}"
        body = {"edge": msgspec.to_builtins(inputs), "from": int(began * 1000), "until": int(over * 1000)}
        return self.read_object("judgement", {"outcome", "reason", "settled"}, "POST", path, orjson.dumps(body))

    def read_object(self, what: str, members: set[str], method: str, path: str, content: bytes = b"") -> dict[str, Any]:
        """The JSON object of a success; KserverUnavailableError for anything else, such as a proxy's page."""
        try:
            found = orjson.loads(self.request(method, path, content))
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or not members <= found.keys():
            names = ", ".join(sorted(members))
            raise KserverUnavailableError(
                f"manager {self.settings.endpoint}: {method} answered no {what}, expected {names}"
            )
        return found

    def request(self, method: str, path: str, content: bytes = b"") -> bytes:
        """The body of a success; KserverUnavailableError where trying again may help, else KserverError."""
        headers = {"Content-Type": "application/json"}
        try:
            answer = self.http.request(method, self.settings.endpoint + path, content=content, headers=headers)
        except httpx.HTTPError as error:
            text = f"manager {self.settings.endpoint}: {words_of(error)}"
            raise KserverUnavailableError(text) from error
        if answer.status_code in RETRIED:
            raise KserverUnavailableError(f"manager {self.settings.endpoint}: {method} answered {answer.status_code}")
        if answer.status_code != 200:
            raise KserverError(
                f"manager {self.settings.endpoint}: {method} answered {answer.status_code}, expected 200"
            )
        return answer.content

    def post(self, execution: dict[str, Any], *, completed: bool, seconds: float = KEEP_SECONDS) -> None:
        """Post the state until it is stored; KserverUnavailableError if that takes longer than `seconds`."""
        body = {
            "taskType": "WORKFLOW_EVENT",
            "executionType": "SYNC",
            "infraId": self.settings.infra_id,
            "args": {
                "completed": "true" if completed else "false",
                "executionData": orjson.dumps(execution).decode(),
                "infraID": self.settings.infra_id,
                "notifyID": self.notify_id,
                "updatedBy": "",
                "workflowID": self.experiment_id,
                "workflowName": execution["name"],
                "workflowRunID": self.run_id,
            },
        }
        content = orjson.dumps(body)
        for attempt in Retrying(
            retry=retry_if_exception_type(KserverUnavailableError),
            stop=stop_after_delay(seconds),
            wait=wait_exponential(multiplier=0.5, max=10),
            reraise=True,
        ):
            with attempt:
                answer = self.request("POST", f"/infra/v2/task/response/{self.settings.infra_id}", content)
                if not answer.startswith(RECEIVED):
                    raise KserverUnavailableError(
                        f"manager {self.settings.endpoint}: POST answered no receipt of the event"
                    )
