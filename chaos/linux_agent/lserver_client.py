"""The agent's requests to the manager, one at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from delivery.manager_client import EXCHANGE_ERRORS, ManagerClient, failure_reason
from podsonar.errors import PodsonarError
from podsonar.manager_paths import LSERVER
from podsonar.settings import LinuxAgentSettings

PREFIX = f"{LSERVER}/infra"
ANSWER_BYTES = 4 << 20
SECONDS = 10.0


class NoAnswerError(PodsonarError):
    """The manager did not answer; the reason is one word."""


class Answer(NamedTuple):
    """A status, and the JSON object of the body, if it is one."""

    status: int
    body: dict[str, Any]


class LserverClient:
    """Sends requests with the current access key; `on_answer` gets every status."""

    def __init__(self, settings: LinuxAgentSettings, on_answer: Callable[[str], object]) -> None:
        self.manager = ManagerClient(settings)
        self.on_answer = on_answer
        self.key = ""
        self.infra_id = ""

    def ask(self, member: str, method: str, path: str, content: bytes = b"", request_id: str = "") -> Answer:
        """One answer; NoAnswerError if there is none within ten seconds, or a success of somebody else.

        A success of the manager is an object that has `member`, or without one empty; a page of a proxy is neither.
        """
        headers = {"Content-Type": "application/json", "X-Access-Key": self.key}
        headers |= {"X-Infra-ID": self.infra_id} if self.infra_id else {}
        headers |= {"Idempotency-Key": request_id} if request_id else {}
        try:
            found = self.manager.request(method, headers, content, SECONDS, PREFIX + path, ANSWER_BYTES)
        except EXCHANGE_ERRORS as error:
            self.on_answer("error")
            raise NoAnswerError(f"the manager did not answer: {failure_reason(error)}") from error
        self.on_answer(str(found.status))
        try:
            body = orjson.loads(found.body) if found.body else {}
        except orjson.JSONDecodeError:
            body = {}
        held = body if isinstance(body, dict) else {}
        if found.status == 200 and (member not in held if member else found.body):
            expected = f"an object with {member}" if member else "no content"
            raise NoAnswerError(f"{method} {path} answered 200 with {len(found.body)} bytes, expected {expected}")
        return Answer(found.status, held)

    def confirm(self, hostname: str, version: str) -> Answer:
        """The answer to `confirm`."""
        return self.ask("newAccessKey", "POST", "/confirm", orjson.dumps({"hostname": hostname, "version": version}))

    def liveness(self) -> Answer:
        """The answer to `liveness`."""
        return self.ask("message", "POST", "/liveness", b"{}")

    def task(self) -> Answer:
        """The answer to a question for a task."""
        return self.ask("taskList", "GET", "/task")

    def status(self, name: str, status: str, lce_uid: str) -> Answer:
        """The answer to a task's status."""
        body = orjson.dumps({"taskStatus": status, "lceUID": lce_uid})
        return self.ask("success", "POST", f"/task/status/{quote(name, safe='')}", body)

    def logs(self, body: bytes, request_id: str) -> Answer:
        """The answer to log lines; the same `request_id` again stores nothing twice."""
        return self.ask("success", "POST", "/logs", body, request_id)

    def result(self, name: str, body: bytes) -> Answer:
        """The answer to a task's result."""
        return self.ask("", "POST", f"/task/result/{quote(name, safe='')}", body)

    def close(self) -> None:
        """Close the connection."""
        self.manager.close()
