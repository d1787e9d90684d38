"""The manager, asked and informed: one request is held there until there is work."""

import threading
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec
import orjson
import structlog

from delegate.task import Polled, TaskReport
from delivery.manager_client import EXCHANGE_ERRORS, ManagerClient, ManagerResponse, failure_reason
from delivery.token_file import TokenFile
from podsonar.errors import ManagerUnavailableError
from podsonar.manager_paths import DELEGATE_API, LOG_SERVICE
from podsonar.settings import DelegateSettings

TASK_BYTES = 16 << 20  # four lists of the largest size
STATUS_SECONDS = 20.0
LOG_SECONDS = 5.0
BEYOND_POLL_SECONDS = 5.0

log = structlog.get_logger()


class Cluster(NamedTuple):
    """The cluster that the delegate works in."""

    uid: str
    version: str


class Manager:
    """The manager's routes for delegates; each call is one request. ManagerUnavailableError where it cannot be made."""

    def __init__(self, settings: DelegateSettings) -> None:
        self.settings = settings
        self.token = TokenFile(settings.manager.token_file)
        self.client = ManagerClient(settings)
        self.one_at_a_time = threading.Lock()  # the thread that renews a lease asks, too, and there is one connection
        self.about = {
            "name": settings.delegate.name,
            "version": version("podsonar"),
            "namespaces": settings.delegate.namespaces,
            "managerURL": self.client.base,
            "allowInsecureHttp": settings.manager.allow_insecure_http,
            "directory": settings.delegate.directory if settings.delegate.directory.url else None,
        }

    def post(self, path: str, body: object, seconds: float) -> tuple[int, bytes]:
        """Status and body of one POST."""
        headers = {"Authorization": f"Token {self.token.read()}", "Content-Type": "application/json"}
        content = orjson.dumps(body, default=msgspec.to_builtins)
        try:
            answer = self.request("POST", headers, content, seconds, path, TASK_BYTES)
        except EXCHANGE_ERRORS as error:
            raise ManagerUnavailableError(f"manager {self.client.base}: {failure_reason(error)}") from error
        return answer.status, answer.body

    def request(self, *given: Any) -> ManagerResponse:  # noqa: ANN401 - the client's own
        """The response to one request."""
        with self.one_at_a_time:
            return self.client.request(*given)

    def poll(self, cluster: Cluster) -> Polled | None:
        """Tasks that are leased to this delegate now; None where none came within the time of a poll."""
        seconds = self.settings.delegate.poll_seconds
        asked = {**self.about, "cluster": cluster._asdict(), "running": [], "waitSeconds": seconds}
        status, body = self.post(f"{DELEGATE_API}/poll", asked, seconds + BEYOND_POLL_SECONDS)
        if status == 204:
            return None
        if status != 200:
            raise ManagerUnavailableError(f"manager {self.client.base}: a poll answered {status}, expected 200 or 204")
        try:
            return msgspec.json.decode(body, type=Polled)
        except msgspec.DecodeError as error:
            raise ManagerUnavailableError(f"manager {self.client.base}: a poll answered no tasks") from error

    def report(self, task_id: str, report: TaskReport) -> int:
        """The status of a report: 200 accepted, 409 the lease is another's, 404 the task is gone."""
        status, body = self.post(f"{DELEGATE_API}/tasks/{task_id}/status", report, STATUS_SECONDS)
        if status == 200 and b'"accepted"' not in body:
            raise ManagerUnavailableError(f"manager {self.client.base}: a report answered 200 and did not accept it")
        return status

    def log(self, method: str, query: str, lines: list[dict[str, Any]] | None) -> int:
        """The status of one request to the log service."""
        headers = {"X-Harness-Token": self.token.read(), "Content-Type": "application/json"}
        try:
            answer = self.request(
                method, headers, orjson.dumps(lines or []), LOG_SECONDS, f"{LOG_SERVICE}/stream?{query}"
            )
        except EXCHANGE_ERRORS as error:
            raise ManagerUnavailableError(f"manager {self.client.base}: {failure_reason(error)}") from error
        return answer.status

    def close(self) -> None:
        """Close the connection."""
        self.client.close()
