"""What runners report and fetch: `POST …/task/response/<infra>`, `GET …/task/experimentrun/<infra>/<experiment>/<run>`.

A runner shows its run's key in `X-Access-Key`. 403 for another account, 404 for another run.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy import RowMapping
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.experiments.runs.document import RunRecord, run_json
from chaos.control.experiments.runs.events import MOST_EXECUTION_BYTES, RunEvent, read_event
from chaos.control.experiments.runs.store import KEY_GRACE_NS, receive_event, record_of
from manager.http.json_body import refuse_nul
from manager.http.responses import json_response, unavailable
from manager.parts import PartContext
from manager.store.experiments.runs import account_of_run, find_run, find_run_id, find_run_of_key
from manager.store.tenancy import Tenant
from manager.worker_threads import run_in_thread
from podsonar.errors import InputError, StoreError
from podsonar.manager_paths import KSERVER

PREFIXES = (KSERVER, f"/gateway{KSERVER}")
MOST_BODY_BYTES = 2 * MOST_EXECUTION_BYTES

REQUIRED = {
    "account": "accountIdentifier",
    "project": "projectIdentifier",
    "environment": "environmentIdentifier",
}

NO_RUN = HTTPException(404, "no such run")


def tenant_of(request: Request) -> Tenant:
    """The tenant of the query; 400 if one of its required identifiers is missing."""
    query = request.query_params
    missing = [name for name in REQUIRED.values() if not query.get(name)]
    if missing:
        raise HTTPException(400, f"query parameter {missing[0]}: expected an identifier")
    organization = query.get("organizationIdentifier", "")
    return Tenant(query["accountIdentifier"], organization, query["projectIdentifier"], query["environmentIdentifier"])


class KserverHandlers:
    """One method per operation."""

    def __init__(self, context: PartContext) -> None:
        self.store, self.clock, self.bodies = context.store, context.clock, context.bodies

    async def respond(self, request: Request) -> Response:
        """Take in an event of a run; the answer is the document's own text."""
        tenant, key = tenant_of(request), request.headers.get("x-access-key", "")
        run_id = await run_in_thread(self.run_of, tenant, key)
        async with self.bodies.body(request, run_id, MOST_BODY_BYTES) as body:
            event = await run_in_thread(self.take_in, tenant, run_id, request.path_params["infra"], body)
        text = (
            "Received task callback for taskType: WORKFLOW_EVENT, response: Workflow run received for for "
            f"WorkflowID: {event.experiment_id}, WorkflowRunID: {event.run_id}"
        )
        return Response(text, media_type="application/json")

    def take_in(self, tenant: Tenant, run_id: str, infra_id: str, body: bytes) -> RunEvent:
        """Merge the event of a body; it is on disk when this returns."""
        try:
            event = read_event(body, infra_id)
            with self.store.writing() as connection:
                asked = event.run_id or find_run_id(connection, tenant, event.notify_id, event.experiment_id)
                if asked != run_id or not receive_event(connection, tenant, run_id, event, body, self.clock()):
                    raise NO_RUN
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        return event

    def run_of(self, tenant: Tenant, key: str) -> str:
        """The run of a runner's key: 401 for a wrong or expired one, 403 for another account, 404 for another scope."""
        with self.store.reading() as connection:
            run_id = find_run_of_key(connection, key) if len(key) == 32 else None
            row = find_run(connection, tenant, run_id) if run_id else None
            account = account_of_run(connection, run_id) if run_id else None
        if run_id is None or account is None:
            raise HTTPException(401, "no or wrong X-Access-Key", headers={"WWW-Authenticate": "X-Access-Key"})
        if account != tenant.account:
            raise HTTPException(403, "the key is another account's")
        if row is None:
            raise NO_RUN
        if self.clock() > row["deadline_ns"] + KEY_GRACE_NS:
            raise HTTPException(401, "X-Access-Key has expired", headers={"WWW-Authenticate": "X-Access-Key"})
        return run_id

    async def fetch(self, request: Request) -> Response:
        """A run as it is now."""
        tenant, key = tenant_of(request), request.headers.get("x-access-key", "")

        def read() -> RunRecord:
            return record_of(self.row_of(request, tenant, key))

        return json_response(run_json(await run_in_thread(read)))

    def row_of(self, request: Request, tenant: Tenant, key: str) -> RowMapping:
        """The run in the path, which must be the key's."""
        run_id = self.run_of(tenant, key)
        with self.store.reading() as connection:
            row = find_run(connection, tenant, run_id)
        wanted = tuple(request.path_params[name] for name in ("infra", "experiment", "run"))
        if row is None or wanted != (row["infra_id"], row["experiment_id"], row["id"]):
            raise NO_RUN
        return row


def kserver_endpoint(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler, with errors as `{"message"}`."""

    async def endpoint(request: Request) -> Response:
        try:
            refuse_nul(request)
            return await handler(request)
        except StoreError as error:
            refused = unavailable(error)
        except HTTPException as error:
            refused = error
        answer = json_response({"message": refused.detail}, refused.status_code)
        answer.headers.update(refused.headers or {})
        return answer

    return endpoint


def kserver_routes(context: PartContext) -> list[BaseRoute]:
    """The two operations below both prefixes."""
    handlers = KserverHandlers(context)
    return [
        route
        for prefix in PREFIXES
        for route in (
            Route(f"{prefix}/infra/v2/task/response/{{infra}}", kserver_endpoint(handlers.respond), methods=["POST"]),
            Route(
                f"{prefix}/infra/v2/task/experimentrun/{{infra}}/{{experiment}}/{{run}}",
                kserver_endpoint(handlers.fetch),
                methods=["GET"],
            ),
        )
    ]
