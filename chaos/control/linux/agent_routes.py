"""What Linux agents ask: confirm, liveness, task, status, logs, result, with the document's answers byte for byte."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.linux import infras, tasks
from chaos.control.linux.infras import HostnameTakenError, Infra
from chaos.control.linux.metrics import LinuxMetrics
from chaos.control.logs.metrics import LogMetrics
from chaos.control.logs.parse import check_key, read_lines
from chaos.control.logs.tails import Tails
from manager.http.body_limits import PushLimiter, PushLimits, read_body
from manager.http.failed_auth import FailedAuth
from manager.http.json_body import read_json
from manager.http.responses import json_response, unavailable
from manager.parts import PartContext
from manager.schema.gunzip import BadBodyError, TooLargeError, inflate
from manager.store.conflicts import at_conflicts
from manager.store.logs.streams import append_lines
from manager.store.logs.tokens import LogWriter
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError
from podsonar.manager_paths import LSERVER

PREFIXES = (LSERVER, "/gateway/chaos/lserver/api", "/chaos/lserver/api")
LIMITS = PushLimits(held_bytes=32 << 20, held_bytes_per_agent=16 << 20)
ALIVE, SUCCESS = b'{ "message": "OK" }', b'{ "success": true }'
RESULT_TEXT_BYTES = 4 << 20

Json = dict[str, Any]
Result = TypeVar("Result")
RandomBytes = Callable[[int], bytes]
Handler = Callable[[Connection, Infra, Json, Request], Response]


def plain(body: bytes) -> Response:
    """A JSON answer of exactly these bytes."""
    return Response(body, media_type="application/json")


def text_of(body: Json, name: str, longest: int = 256) -> str:
    """A member that is a text; 400 otherwise."""
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or "\0" in value:
        raise HTTPException(400, f"{name}: expected a text of 1 to {longest} characters")
    return value


class LinuxAgentRoutes:
    """The routes; `random_bytes` makes keys."""

    def __init__(
        self, context: PartContext, metrics: LinuxMetrics, logs: LogMetrics, tails: Tails, random_bytes: RandomBytes
    ) -> None:
        self.store, self.clock, self.random_bytes = context.store, context.clock, random_bytes
        self.metrics, self.logs, self.tails = metrics, logs, tails
        self.failures = FailedAuth(context.clock)
        self.limiter = PushLimiter(LIMITS)

    def routes(self) -> list[BaseRoute]:
        """Every route below each prefix."""
        table: list[tuple[str, str, Handler]] = [
            ("/infra/confirm", "POST", self.confirm),
            ("/infra/liveness", "POST", self.liveness),
            ("/infra/task", "GET", self.task),
            ("/infra/task/status/{task}", "POST", self.status),
            ("/infra/task/result/{task}", "POST", self.result),
            ("/infra/logs", "POST", self.append),
        ]
        return [
            Route(prefix + path, self.endpoint(handler), methods=[method])
            for prefix in PREFIXES
            for path, method, handler in table
        ]

    def endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind an access key, in a transaction; errors as `{"message"}`, every answer counted."""

        async def answer(request: Request) -> Response:
            try:
                response = await self.answer(request, handler)
            except HTTPException as error:
                response = json_response({"message": error.detail}, error.status_code)
                response.headers.update(error.headers or {})
            self.metrics.requests.labels(str(response.status_code)).inc()
            return response

        return answer

    async def answer(self, request: Request, handler: Handler) -> Response:
        """Key, body, then the handler; what it raises is an HTTPException."""
        infra = await self.require_infra(request)
        try:
            body = await self.read_json(request, infra.id) if request.method == "POST" else {}

            @at_conflicts
            def run() -> Response:
                with self.store.writing() as connection:
                    return handler(connection, infra, body, request)

            response = await run_in_thread(run)
        except StoreError as error:
            raise unavailable(error) from error
        except BadBodyError as error:
            raise HTTPException(400, str(error)) from error
        except TooLargeError as error:
            raise HTTPException(413, str(error)) from error
        for name, appended in getattr(request.state, "written", {}).items():
            self.tails.hand_over(name, appended.first_sequence, appended.lines)
        return response

    async def require_infra(self, request: Request) -> Infra:
        """The host of the access key; 401 for a wrong one or for another host's id."""
        key, asked = request.headers.get("x-access-key", ""), request.headers.get("x-infra-id", "")
        address = request.client.host if request.client else ""
        try:
            self.failures.check(address, key)
            infra = await run_in_thread(self.find_infra, key, asked)
        except StoreError as error:
            raise unavailable(error) from error
        except HTTPException:
            self.metrics.refused.labels("too_many").inc()
            raise
        if infra is None:
            self.failures.failed(address, key)
            self.metrics.refused.labels("wrong_key" if key else "no_key").inc()
            raise HTTPException(401, "no or wrong access key", headers={"WWW-Authenticate": "X-Access-Key"})
        self.failures.succeeded(key)
        return infra

    def find_infra(self, key: str, asked: str) -> Infra | None:
        """The host of a key, whose use ends the life of the key before it."""
        if not key:
            return None
        with self.store.reading() as connection:
            found = infras.find_by_key(connection, key)
        if found is None or asked not in {"", found[0].id}:
            return None
        if found[1]:
            with self.store.writing() as connection:
                infras.adopt_next_key(connection, key)
        return found[0]

    async def read_json(self, request: Request, infra_id: str) -> Json:
        """The body, a JSON object."""
        async with self.limiter.slot(infra_id) as slot:
            raw = await read_body(request, LIMITS, slot)
            gzipped = request.headers.get("content-encoding", "").strip().lower() == "gzip"
            content = inflate(raw, LIMITS.inflated_bytes) if gzipped else raw
            request.state.content = bytes(content)
            body = read_json(request.state.content or b"{}", allows_nul=True)
        if not isinstance(body, dict):
            raise HTTPException(400, "body is no JSON object")
        return body

    def confirm(self, connection: Connection, infra: Infra, body: Json, _request: Request) -> Response:
        """The host's id and its next access key."""
        hostname, version = text_of(body, "hostname"), text_of(body, "version")
        try:
            key = infras.confirm(connection, infra, hostname, version, self.clock(), self.random_bytes)
        except HostnameTakenError:
            raise HTTPException(409, "another host has confirmed; register again to let this one take over") from None
        return json_response({"infraID": infra.id, "newAccessKey": key})

    def liveness(self, connection: Connection, infra: Infra, _body: Json, _request: Request) -> Response:
        """Note that the host is alive."""
        infras.beat(connection, infra.id, self.clock())
        return plain(ALIVE)

    def task(self, connection: Connection, infra: Infra, _body: Json, _request: Request) -> Response:
        """The host's next task, if there is one and no other is under way."""
        infras.beat(connection, infra.id, self.clock())
        task, is_active = tasks.hand_out(connection, infra, self.clock())
        return json_response({"taskList": [tasks.task_wire(task)] if task else [], "isActive": is_active})

    def own_task(self, connection: Connection, infra: Infra, request: Request) -> Json:
        """The task in the path; 404 for another host's."""
        name = request.path_params["task"]
        task = tasks.find_task(connection, name, infra.id) if "\0" not in name else None
        if task is None:
            raise HTTPException(404, "no such task")
        return task

    def status(self, connection: Connection, infra: Infra, body: Json, request: Request) -> Response:
        """Note a task's status; the answer asks for an abort where the fault has to end."""
        status, lce_uid = text_of(body, "taskStatus"), text_of(body, "lceUID")
        task = self.own_task(connection, infra, request)
        if task["lce_uid"] != lce_uid:
            raise HTTPException(409, "lceUID is not that of the task")
        if status not in tasks.REPORTED:
            raise HTTPException(400, f"taskStatus: expected one of {', '.join(tasks.REPORTED)}")
        infras.beat(connection, infra.id, self.clock())
        if tasks.take_status(connection, task, status, self.clock()):
            return json_response({"success": True, "abort": True})
        return plain(SUCCESS)

    def result(self, connection: Connection, infra: Infra, body: Json, request: Request) -> Response:
        """Take a task's result, once."""
        result = body.get("result")
        if not isinstance(result, dict) or result.get("taskStatus") not in tasks.ENDED:
            raise HTTPException(400, f"result.taskStatus: expected one of {', '.join(tasks.ENDED)}")
        if not isinstance(body.get("logs", ""), str) or len(request.state.content) > RESULT_TEXT_BYTES:
            raise HTTPException(400, f"logs: expected a text, the body no more than {RESULT_TEXT_BYTES} bytes")
        task = self.own_task(connection, infra, request)
        first = task["result_sha256"] is None
        if not tasks.take_result(connection, task, result, request.state.content, self.clock()):
            raise HTTPException(409, "the task has another result")
        if first:
            self.metrics.ended.labels(result["taskStatus"]).inc()
        return Response(status_code=200)

    def append(self, connection: Connection, infra: Infra, body: Json, request: Request) -> Response:
        """Append lines to the stream of one of the host's tasks."""
        key, account = check_key(text_of(body, "streamID", 512)), body.get("accountID")
        lines = read_lines(orjson.dumps(body.get("logs")))
        if account != infra.tenant.account:
            raise HTTPException(403, "accountID is not that of the access key")
        if not tasks.has_stream(connection, infra.id, key):
            raise HTTPException(404, "no such stream")
        scope = {name: getattr(infra.tenant, name) for name in ("organization", "project", "environment")}
        request_id = request.headers.get("idempotency-key", "")[:128]
        appended = append_lines(connection, account, key, infra.id, lines, self.clock(), request_id, **scope)
        self.logs.count(appended)
        request.state.written = {(account, key): appended}
        return plain(SUCCESS)

    def find_log_writer(self, text: str, account: str, key: str, _now_ns: int) -> LogWriter | None:
        """The host behind an access key that is used for the log service, for streams of its own tasks."""
        if len(text) != infras.KEY_LENGTH:
            return None
        infra = self.find_infra(text, "")
        if infra is None:
            return None
        with self.store.reading() as connection:
            own = tasks.has_stream(connection, infra.id, key) and account == infra.tenant.account
        tenant = infra.tenant
        # A key that is nobody's prefix: recognised, and allowed nothing.
        return LogWriter(infra.id, tenant.account, key if own else "\0", False, tenant.organization, tenant.project)
