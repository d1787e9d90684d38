"""What people ask about Linux infrastructure: register hosts, make tasks, stop them, read results."""

from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.linux import infras, tasks
from chaos.control.linux.agent_routes import text_of
from chaos.control.linux.infras import Infra, is_active
from chaos.task_action import ActionError, read_action
from manager.http.auth import require_key
from manager.http.body_limits import PushLimiter, PushLimits, read_body
from manager.http.json_body import read_json, refuse_nul
from manager.http.responses import json_response, unavailable
from manager.parts import PartContext
from manager.store.agents import check_name
from manager.store.conflicts import at_conflicts
from manager.store.tokens.token_format import Scope
from manager.worker_threads import run_in_thread
from podsonar.errors import StoreError, UsageError
from podsonar.manager_paths import HOSTS
from podsonar.timestamp import rfc3339

LIMITS = PushLimits(compressed_bytes=1 << 20, held_bytes=16 << 20)

Json = dict[str, Any]
Handler = Callable[[Connection, Json, Request], Any]


class LinuxPersonRoutes:
    """The routes; reading wants a key of scope read, changing one of scope admin."""

    def __init__(self, context: PartContext, random_bytes: Callable[[int], bytes]) -> None:
        self.store, self.clock, self.random_bytes = context.store, context.clock, random_bytes
        self.limiter = PushLimiter(LIMITS)

    def routes(self) -> list[BaseRoute]:
        """Every route."""
        table: list[tuple[str, str, Scope, Handler]] = [
            ("/infras", "GET", "read", self.list_infras),
            ("/infras", "POST", "admin", self.register),
            ("/infras/{infra}", "DELETE", "admin", self.remove),
            ("/infras/{infra}/token", "POST", "admin", self.register_again),
            ("/tasks", "GET", "read", self.list_tasks),
            ("/tasks", "POST", "admin", self.make_task),
            ("/tasks/{task}", "GET", "read", self.find_task),
            ("/tasks/{task}/stop", "POST", "admin", self.stop_task),
        ]
        return [
            Route(HOSTS + path, self.endpoint(handler, scope), methods=[method])
            for path, method, scope, handler in table
        ]

    def endpoint(self, handler: Handler, scope: Scope) -> Callable[[Request], Any]:
        """The handler behind a key, in a transaction."""

        async def answer(request: Request) -> Response:
            try:
                await run_in_thread(require_key, self.store, request, self.clock(), scope)
                if request.state.principal.agent_id is not None:
                    raise HTTPException(403, "the key is for one cluster alone")
                refuse_nul(request)
                body = await self.read_json(request) if request.method == "POST" else {}

                @at_conflicts
                def run() -> Any:  # noqa: ANN401 - JSON
                    with self.store.writing() as connection:
                        return handler(connection, body, request)

                found = await run_in_thread(run)
            except StoreError as error:
                raise unavailable(error) from error
            return json_response(found, 201 if request.method == "POST" and "stop" not in request.url.path else 200)

        return answer

    async def read_json(self, request: Request) -> Json:
        """The body, a JSON object; none is an empty one."""
        async with self.limiter.slot(request.state.principal.token_id) as slot:
            raw = await read_body(request, LIMITS, slot)
        body = read_json(bytes(raw) or b"{}")
        if not isinstance(body, dict):
            raise HTTPException(400, "body is no JSON object")
        return body

    def own_infra(self, connection: Connection, name: str, request: Request) -> Infra:
        """The tenant's host of that name or id; 404 if there is none."""
        infra = infras.find_by_name(connection, request.state.tenant, name)
        if infra is None:
            raise HTTPException(404, "no such infrastructure")
        return infra

    def own_task(self, connection: Connection, request: Request) -> Json:
        """The tenant's task in the path; 404 if there is none."""
        task = tasks.find_tenant_task(connection, request.path_params["task"], request.state.tenant)
        if task is None:
            raise HTTPException(404, "no such task")
        return task

    def list_infras(self, connection: Connection, _body: Json, request: Request) -> Json:
        """The tenant's hosts."""
        found = infras.list_infras(connection, request.state.tenant)
        return {"items": [self.infra_wire(infra) for infra in found]}

    def infra_wire(self, infra: Infra) -> Json:
        """A host as people read it."""
        return {
            "infraID": infra.id,
            "name": infra.name,
            "hostname": infra.hostname,
            "version": infra.version,
            "isActive": is_active(infra, self.clock()),
            "confirmedAt": rfc3339(infra.confirmed_ns) if infra.confirmed_ns else None,
            "lastHeartbeat": rfc3339(infra.seen_ns) if infra.seen_ns else None,
        }

    def register(self, connection: Connection, body: Json, request: Request) -> Json:
        """A new host with its first access key, shown this once."""
        if not request.state.tenant.account:
            raise HTTPException(400, "accountIdentifier: expected the account of the infrastructure")
        name = text_of(body, "name")
        try:
            check_name(name)
        except UsageError as error:
            raise HTTPException(400, str(error)) from error
        made = infras.register(connection, request.state.tenant, name, self.clock(), self.random_bytes)
        if made is None:
            raise HTTPException(409, "an infrastructure of this name is there")
        return {"infraID": made[0].id, "name": name, "accessKey": made[1]}

    def register_again(self, connection: Connection, _body: Json, request: Request) -> Json:
        """A new access key for a host; the earlier ones are void."""
        infra = self.own_infra(connection, request.path_params["infra"], request)
        key = infras.register_again(connection, infra, self.random_bytes)
        return {"infraID": infra.id, "name": infra.name, "accessKey": key}

    def remove(self, connection: Connection, _body: Json, request: Request) -> Json:
        """Remove a host; its keys are 401 from now on."""
        infra = self.own_infra(connection, request.path_params["infra"], request)
        infras.remove(connection, infra, self.clock())
        return {"infraID": infra.id}

    def make_task(self, connection: Connection, body: Json, request: Request) -> Json:
        """A new task: `{"infra", "name", "action"}`."""
        infra = self.own_infra(connection, text_of(body, "infra"), request)
        action = body.get("action", {})
        try:
            chaos = read_action(action)
        except ActionError as error:
            raise HTTPException(400, str(error)) from error
        name = text_of(body, "name", 128)
        if not name.replace("-", "").isalnum() or not name.isascii():
            raise HTTPException(400, "name: expected letters, digits and -")
        ids = tasks.new_task_ids(name, chaos.experiment, self.clock(), self.random_bytes)
        tasks.make_task(connection, infra, ids, action, chaos, self.clock())
        return {"taskName": ids.name, "lceUID": ids.lce_uid, "streamID": ids.stream_id, "runID": ids.run_id}

    def list_tasks(self, connection: Connection, _body: Json, request: Request) -> Json:
        """The tenant's newest tasks."""
        return {"items": [person_wire(task) for task in tasks.list_tasks(connection, request.state.tenant)]}

    def find_task(self, connection: Connection, _body: Json, request: Request) -> Json:
        """A task with its result."""
        task = self.own_task(connection, request)
        result = orjson.loads(task["result"]) if task["result"] else None
        return person_wire(task) | {"action": orjson.loads(task["action"]), "result": result}

    def stop_task(self, connection: Connection, body: Json, request: Request) -> Json:
        """Ask for a stop; the task is `Stopped` once its agent has released the fault."""
        task = self.own_task(connection, request)
        reason = body.get("reason", "")
        tasks.ask_stop(connection, task, reason[:256] if isinstance(reason, str) else "", self.clock())
        return {"taskName": task["name"], "stopRequested": True}


def person_wire(task: Json) -> Json:
    """A task as people read it."""
    times = ("created_ns", "started_ns", "heard_ns", "stop_ns", "ended_ns")
    return {
        "taskName": task["name"],
        "infraID": task["infra_id"],
        "runID": task["run_id"],
        "status": task["status"],
        "message": task["message"],
        "streamID": task["stream_id"],
        "accountID": task["account"],
        "fault": orjson.loads(task["action"])["chaos"]["experiment"],
        **{name.removesuffix("_ns") + "At": rfc3339(task[name]) if task[name] else None for name in times},
    }
