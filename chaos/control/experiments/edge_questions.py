"""What a runner asks of the map for its edgeProbes: `POST …/task/edge/<infra>/<experiment>/<run>`, by its run's key.

`settled` is false as long as agents may have windows of that time which they have not delivered.
"""

from typing import Annotated

import msgspec
from sqlalchemy import RowMapping
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from chaos.control.experiments.kserver import (
    MOST_BODY_BYTES,
    PREFIXES,
    KserverHandlers,
    kserver_endpoint,
    tenant_of,
)
from chaos.control.experiments.map.windows import SETTLE_NS, RunMaps
from chaos.control.experiments.runs.store import record_of
from chaos.control.judge.edge_claim import EdgeFinding, hypothesis_of, judge_claim
from chaos.control.judge.observed_edges import Observation, observe
from chaos.control.judge.verdict import Outcome
from chaos.task_action import EdgeInputs
from manager.http.json_body import decode_json
from manager.http.responses import json_response
from manager.parts import PartContext
from manager.store.tenancy import Tenant
from manager.worker_threads import run_in_thread
from podsonar.errors import InputError

NS_PER_MS = 1_000_000

Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 43)]


class EdgeQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is expected of an edge between two times, in milliseconds since 1970."""

    edge: EdgeInputs
    start: Milliseconds = msgspec.field(name="from")
    end: Milliseconds = msgspec.field(name="until")


class EdgeQuestions:
    """The operation."""

    def __init__(self, context: PartContext, runs: KserverHandlers) -> None:
        self.clock, self.runs, self.bodies = context.clock, runs, context.bodies
        self.maps = RunMaps(context.maps)

    async def answer(self, request: Request) -> Response:
        """What the map says; an agent that is not known is N/A, not an error."""
        tenant, key = tenant_of(request), request.headers.get("x-access-key", "")
        row = await run_in_thread(self.runs.row_of, request, tenant, key)
        async with self.bodies.body(request, row["id"], MOST_BODY_BYTES) as body:
            return await run_in_thread(self.judge, tenant, row, body)

    def judge(self, tenant: Tenant, row: RowMapping, body: bytes) -> Response:
        """The answer of one question about a run."""
        question = decode_json(body, EdgeQuestion)
        try:
            hypothesis_of(question.edge)
        except InputError as error:
            raise HTTPException(400, f"body: {error}") from None
        start_ns, end_ns = question.start * NS_PER_MS, question.end * NS_PER_MS
        agent = self.maps.find_agent(tenant, row["infra_id"])
        baseline = observe(self.maps.baseline_of(agent, record_of(row), start_ns)) if agent else Observation()
        fault = self.maps.fault(agent, start_ns, end_ns) if agent else Observation()
        found = judge_claim(question.edge, baseline, fault)
        if agent is None:
            found = EdgeFinding(Outcome.NOT_AVAILABLE, f"no agent {row['infra_id']} observes this infrastructure")
        return json_response(
            {
                "outcome": found.outcome,
                "reason": found.reason,
                "settled": self.clock() >= end_ns + SETTLE_NS,
                "windows": {"baseline": baseline.windows, "fault": fault.windows},
            }
        )


def edge_routes(context: PartContext) -> list[BaseRoute]:
    """The operation below both prefixes."""
    questions = EdgeQuestions(context, KserverHandlers(context))
    path = "/infra/v2/task/edge/{infra}/{experiment}/{run}"
    return [Route(prefix + path, kserver_endpoint(questions.answer), methods=["POST"]) for prefix in PREFIXES]
