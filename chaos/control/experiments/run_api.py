"""Runs for people: make one, list them, read one, ask one to stop. Below `/v1/chaos/runs`, by a key of the API.

Making and stopping need scope admin. The answer to a new run has its runner's key and the token of its logs, this once,
or the task of the delegate that brings its runner; `refused` if guards refuse it: the run is `Blocked` then.
"""

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.experiments.delegated.find_delegate import find_cluster
from chaos.control.experiments.delegated.run_tasks import check_delegated, make_task
from chaos.control.experiments.kserver import MOST_BODY_BYTES, NO_RUN, kserver_endpoint
from chaos.control.experiments.map.impact import impact_json
from chaos.control.experiments.map.plan import check_run
from chaos.control.experiments.map.windows import RunMaps
from chaos.control.experiments.run_order import RunOrder, StopOrder
from chaos.control.experiments.runs.document import RunRecord, run_json
from chaos.control.experiments.runs.manifest import read_manifest
from chaos.control.experiments.runs.new_run import MadeRun, Ordered, make_run
from chaos.control.experiments.runs.store import let_write_logs, record_of, request_stop
from chaos.control.judge.guards import GuardResult, governance
from chaos.control.judge.observed_edges import Observation
from manager.http.auth import require_key
from manager.http.json_body import decode_json
from manager.http.responses import json_response
from manager.parts import PartContext
from manager.store.experiments.runs import find_run, list_runs
from manager.store.tenancy import Tenant
from manager.store.tokens.token_format import Scope, generate_token
from manager.worker_threads import run_in_thread
from podsonar.errors import InputError
from podsonar.manager_paths import RUNS
from podsonar.timestamp import rfc3339

MOST_LISTED = 200


class RunApi:
    """One method per operation, run in a thread."""

    def __init__(self, context: PartContext) -> None:
        self.store, self.clock, self.maps = context.store, context.clock, RunMaps(context.maps)
        self.bodies = context.bodies

    def create(self, request: Request, body: bytes) -> Response:
        """POST /v1/chaos/runs."""
        order = decode_json(body, RunOrder)
        tenant: Tenant = request.state.tenant
        now_ns = self.clock()
        try:
            results = self.check_guards(tenant, order, now_ns)
            checked = governance(results, now_ns // 1_000_000, self.clock() // 1_000_000)
            refused = [f"{one.rule}: {one.sentence}" for one in results if one.result == "failed"]
            ordered = Ordered(order.infra_id, order.experiment, order.weights, order.plan, checked, refused)
            with self.store.writing() as connection:
                cluster = None if order.own_runner else find_cluster(connection, tenant, order.infra_id, order.delegate)
                order.check_bringing(cluster)
                made = make_run(
                    connection, tenant, ordered, now_ns, request.state.principal.token_id, secrets.token_bytes
                )
                if cluster is None or refused:
                    brought = runner_secrets(connection, tenant, made, now_ns)
                else:
                    check_delegated(tenant, order.authority)
                    site = (cluster, now_ns, secrets.token_bytes, order.authority)
                    brought = {"delegateTaskID": make_task(connection, tenant, made.run_id, "run", *site)}
        except InputError as error:
            raise HTTPException(400, str(error)) from None
        answer: dict[str, Any] = {
            "runID": made.run_id,
            "notifyID": made.notify_id,
            "experimentID": made.experiment_id,
            **brought,
        }
        return json_response(answer | ({"refused": refused} if refused else {}), 201)

    def check_guards(self, tenant: Tenant, order: RunOrder, now_ns: int) -> list[GuardResult]:
        """What the guards of an experiment say, by the newest windows; none without `spec.guards`."""
        manifest = read_manifest(order.experiment)
        if manifest.spec.guards is None:
            return []
        agent = self.maps.find_agent(tenant, order.infra_id)
        seen = self.maps.baseline(agent, now_ns) if agent else Observation()
        return check_run(manifest, manifest.spec.guards, seen)

    def index(self, request: Request, _body: bytes) -> Response:
        """GET /v1/chaos/runs: the newest first."""
        with self.store.reading() as connection:
            rows = list_runs(connection, request.state.tenant, MOST_LISTED)
            items = [summary_json(record_of(row)) for row in rows]
        return json_response({"items": items})

    def read(self, request: Request, _body: bytes) -> Response:
        """GET /v1/chaos/runs/{run}."""
        with self.store.reading() as connection:
            row = find_run(connection, request.state.tenant, request.path_params["run"])
        if row is None:
            raise NO_RUN
        return json_response(run_json(record_of(row)))

    def impact(self, request: Request, _body: bytes) -> Response:
        """GET /v1/chaos/runs/{run}/impact: what the map says of it."""
        with self.store.reading() as connection:
            row = find_run(connection, request.state.tenant, request.path_params["run"])
        if row is None:
            raise NO_RUN
        return json_response(impact_json(record_of(row), self.maps, self.clock()))

    def stop(self, request: Request, body: bytes) -> Response:
        """POST /v1/chaos/runs/{run}/stop: asked, not confirmed; the run says when it has stopped."""
        order = decode_json(body or b"{}", StopOrder)
        with self.store.writing() as connection:
            record = request_stop(
                connection, request.state.tenant, request.path_params["run"], order.reason, self.clock()
            )
        if record is None:
            raise NO_RUN
        return json_response(summary_json(record), 202)

    def endpoint(self, handler: Callable[[Request, bytes], Response], scope: Scope) -> Callable[[Request], Any]:
        """The handler behind a key."""

        async def answer(request: Request) -> Response:
            await run_in_thread(require_key, self.store, request, self.clock(), scope)
            if request.method != "POST":
                return await run_in_thread(handler, request, b"")
            async with self.bodies.body(request, request.state.principal.token_id, MOST_BODY_BYTES) as body:
                return await run_in_thread(handler, request, body)

        return kserver_endpoint(answer)


def runner_secrets(connection: Connection, tenant: Tenant, made: MadeRun, now_ns: int) -> dict[str, str]:
    """What a person gives to the runner of a new run: its key, and a token that writes its logs, made here."""
    token = generate_token(secrets.token_bytes)
    let_write_logs(connection, token, tenant, made.run_id, made.deadline_ns, now_ns)
    return {"accessKey": made.key, "logToken": token.text()}


def summary_json(run: RunRecord) -> dict[str, Any]:
    """A run in a list."""
    return {
        "runID": run.run_id,
        "notifyID": run.notify_id,
        "experimentID": run.experiment_id,
        "name": run.name,
        "infraID": run.infra_id,
        "sequence": run.sequence,
        "phase": run.execution.phase,
        "message": run.execution.message,
        "completed": run.completed,
        "resiliencyScore": run.score.resiliency_score,
        "createdAt": rfc3339(run.created_ns),
        "deadline": rfc3339(run.deadline_ns),
        "stopAsked": rfc3339(run.stop_ns) if run.stop_ns else None,
        "steps": [
            {"name": node.name, "phase": node.phase, "message": node.message} for node in run.execution.steps.values()
        ],
    }


def run_routes(context: PartContext) -> list[BaseRoute]:
    """The routes of runs for people."""
    api = RunApi(context)
    return [
        Route(RUNS, api.endpoint(api.create, "admin"), methods=["POST"]),
        Route(RUNS, api.endpoint(api.index, "read"), methods=["GET"]),
        Route(f"{RUNS}/{{run}}", api.endpoint(api.read, "read"), methods=["GET"]),
        Route(f"{RUNS}/{{run}}/impact", api.endpoint(api.impact, "read"), methods=["GET"]),
        Route(f"{RUNS}/{{run}}/stop", api.endpoint(api.stop, "admin"), methods=["POST"]),
    ]
