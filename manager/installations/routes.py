"""The routes of delegates: a poll that is held until there is work, and reports; behind a token of scope delegate."""

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import anyio
import msgspec
import orjson
import structlog
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from manager.http.auth import require_ingest_token, unauthorized
from manager.http.json_body import decode_json, refuse_nul
from manager.http.request_bodies import RequestBodies
from manager.http.responses import json_response, unavailable
from manager.installations.agent_values import ConfigRefusedError, Source
from manager.installations.handout import AskedDirectory, AskingDelegate, RunWire, task_wire
from manager.installations.progress import sweep
from manager.installations.reports import Outcome, StatusReport, store_report
from manager.installations.tasks import Delegate, end_task, has_tasks, lease_tasks
from manager.metrics import ManagerMetrics
from manager.store.database import Store
from manager.store.delegate_tables import DELEGATES
from manager.store.tenancy import Tenant, of_tenant
from manager.store.tokens import token_format
from manager.store.tokens.issued import Principal, authenticate
from manager.worker_threads import run_in_thread
from podsonar.errors import InputError, StoreError
from podsonar.manager_paths import DELEGATE_API
from podsonar.supervised import place_of

BODY_BYTES = 4 << 20
TURN_SECONDS = 1.0
SWEEP_SECONDS = 2.0
MOST_SECONDS = 28
LARGEST_TEXT = 253
MOST_NAMESPACES = 4096
MOST_RUNNING = 256  # a delegate works on one task at a time, and is given four at once

Text = Annotated[str, msgspec.Meta(max_length=LARGEST_TEXT)]

T = TypeVar("T")

log = structlog.get_logger()


class AskedCluster(msgspec.Struct, frozen=True):
    """The cluster that a delegate works in."""

    uid: str
    version: str = ""


class Poll(msgspec.Struct, frozen=True, rename="camel"):
    """The body of `POST /v1/delegates/poll`."""

    name: str
    cluster: AskedCluster
    version: str = ""
    namespaces: Annotated[list[Text], msgspec.Meta(max_length=MOST_NAMESPACES)] = []
    running: Annotated[list[Text], msgspec.Meta(max_length=MOST_RUNNING)] = []
    wait_seconds: float = 25.0
    manager_url: str = msgspec.field(name="managerURL", default="")
    allow_insecure_http: bool = False
    directory: AskedDirectory | None = None


class DelegateRoutes:
    """Handlers over the store; `settings` says where agents push to and where their images are."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        settings: Source,
        bodies: RequestBodies,
        on_failure: Callable[[], object],
        of_run: RunWire | None = None,
    ) -> None:
        self.store, self.clock, self.settings, self.of_run = store, clock, settings, of_run
        self.bodies, self.on_failure = bodies, on_failure

    def principal(self, token: str) -> Principal:
        """The holder of a delegate's token; 401 otherwise."""
        found = authenticate(self.store, token, "delegate", self.clock())
        if found is None:
            raise unauthorized("Token")
        return found

    async def poll(self, request: Request) -> Response:
        """POST /v1/delegates/poll: 200 with tasks, 204 where none came in the time that the delegate waits."""
        token = require_ingest_token(request)
        principal = await self.run(self.principal, token)
        async with self.bodies.body(request, principal.token_id, BODY_BYTES) as body:
            asked = decode_json(body, Poll)
        if not 0 < len(asked.name) <= LARGEST_TEXT or not 0 < len(asked.cluster.uid) <= LARGEST_TEXT:
            raise HTTPException(400, f"name, cluster.uid: expected 1 to {LARGEST_TEXT} characters")
        delegate = await self.run(self.register, principal, asked)
        ends = time.monotonic() + min(max(asked.wait_seconds, 0.0), MOST_SECONDS)
        while True:
            if await self.run(self.waiting, delegate, asked):
                parsed = token_format.parse(token)
                if parsed is None:
                    raise unauthorized("Token")
                asking = AskingDelegate(parsed, asked.manager_url, asked.allow_insecure_http, asked.directory)
                if tasks := await self.run(self.lease, delegate, asked, asking):
                    return json_response({"delegateID": delegate.id, "tasks": tasks, "abort": []})
            left = ends - time.monotonic()
            if left <= 0 or await request.is_disconnected():
                return Response(status_code=204)
            await anyio.sleep(min(TURN_SECONDS, left))

    async def status(self, request: Request) -> Response:
        """POST /v1/delegates/tasks/{id}/status."""
        principal = await self.run(self.principal, require_ingest_token(request))
        refuse_nul(request)
        async with self.bodies.body(request, principal.token_id, BODY_BYTES) as body:
            report = decode_json(body, StatusReport)
            outcome = await self.run(self.store_status, principal.tenant, request.path_params["task_id"], report)
        if outcome is Outcome.ACCEPTED:
            return json_response({"accepted": True})
        texts = {Outcome.LOST: "the task is leased to another attempt, or over", Outcome.GONE: "no such task"}
        raise HTTPException(outcome.value, texts[outcome])

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - the function's own
        """The result of a function that uses the store, in a thread; 503 where the database cannot be used."""
        try:
            return await run_in_thread(function, *arguments)
        except StoreError as error:
            raise unavailable(error) from error

    def register(self, principal: Principal, asked: Poll) -> Delegate:
        """The delegate that asks: known by name and cluster in its tenant."""
        now_ns, tenant = self.clock(), principal.tenant
        this = (
            of_tenant(DELEGATES, tenant)
            & (DELEGATES.c.name == asked.name)
            & (DELEGATES.c.cluster_uid == asked.cluster.uid)
        )
        values = {
            "token_id": principal.token_id,
            "cluster_version": asked.cluster.version[:LARGEST_TEXT],
            "version": asked.version[:LARGEST_TEXT],
            "namespaces": orjson.dumps(asked.namespaces),
            "seen_ns": now_ns,
        }
        with self.store.writing() as connection:
            known = connection.execute(select(DELEGATES.c.id).where(this)).scalar()
            if known is None:
                known = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
                row = {"id": known, **tenant._asdict(), "name": asked.name, "cluster_uid": asked.cluster.uid}
                connection.execute(insert(DELEGATES), row | values | {"created_ns": now_ns})
            else:
                connection.execute(update(DELEGATES).where(DELEGATES.c.id == known).values(values))
        return Delegate(known, tenant, asked.cluster.uid, principal.token_id, now_ns)

    def waiting(self, delegate: Delegate, asked: Poll) -> bool:
        """Whether there is a task for the delegate."""
        with self.store.reading() as connection:
            return has_tasks(connection, delegate, asked.running, self.clock())

    def lease(self, delegate: Delegate, asked: Poll, asking: AskingDelegate) -> list[dict[str, Any]]:
        """Lease the tasks, as the delegate gets them; one that cannot be made any more ends here."""
        now_ns = self.clock()
        with self.store.writing() as connection:
            found = []
            for task in lease_tasks(connection, delegate, asked.running, now_ns):
                try:
                    with connection.begin_nested():
                        found.append(task_wire(connection, task, asking, self.settings, now_ns, self.of_run))
                except ConfigRefusedError as error:
                    end_task(connection, task.id, "FAILED", str(error), now_ns)
                except (SQLAlchemyError, StoreError):
                    raise
                except Exception as error:  # noqa: BLE001 - the delegate gets its other tasks all the same
                    self.on_failure()
                    kind, place = type(error).__name__, place_of(error)
                    log.error("task_not_made", task=task.id, error=kind, place=place)  # noqa: TRY400
                    end_task(connection, task.id, "FAILED", f"the manager cannot make it ({kind} at {place})", now_ns)
            return found

    def store_status(self, tenant: Tenant, task_id: str, report: StatusReport) -> Outcome:
        """Store a report."""
        with self.store.writing() as connection:
            try:
                return self.stored(connection, tenant, task_id, report)
            except InputError as error:
                raise HTTPException(400, f"body: {error}") from None

    def stored(self, connection: Connection, tenant: Tenant, task_id: str, report: StatusReport) -> Outcome:
        """Store a report in a transaction."""
        return store_report(connection, tenant, task_id, report, self.clock(), secrets.token_bytes)


def delegate_routes(
    store: Store,
    clock: Callable[[], int],
    settings: Source,
    bodies: RequestBodies,
    on_failure: Callable[[], object],
    of_run: RunWire | None = None,
) -> list[BaseRoute]:
    """The routes of delegates; `of_run` completes tasks of an experiment's run, `on_failure` counts what cannot be."""
    handlers = DelegateRoutes(store, clock, settings, bodies, on_failure, of_run)
    return [
        Route(f"{DELEGATE_API}/poll", handlers.poll, methods=["POST"]),
        Route(f"{DELEGATE_API}/tasks/{{task_id}}/status", handlers.status, methods=["POST"]),
    ]


async def installations_loop(store: Store, clock: Callable[[], int], metrics: ManagerMetrics) -> None:
    """Bring installations on every two seconds, until cancelled."""
    while True:
        try:
            await run_in_thread(sweep, store, clock(), secrets.token_bytes, metrics.count_expired_task)
        except StoreError as error:
            log.warning("installations_not_swept", error=str(error))
        await anyio.sleep(SWEEP_SECONDS)
