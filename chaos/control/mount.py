"""What the command mounts into the manager's process: the log service, Linux hosts and the runs of experiments."""

import secrets
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from chaos.control.experiments.delegated.progress import delegated_loop
from chaos.control.experiments.delegated.runner_list import task_of_run
from chaos.control.experiments.edge_questions import edge_routes
from chaos.control.experiments.kserver import kserver_routes
from chaos.control.experiments.map.watch import watching_loop
from chaos.control.experiments.run_api import run_routes
from chaos.control.experiments.runs.sweeper import sweeping_loop
from chaos.control.linux.agent_routes import LinuxAgentRoutes
from chaos.control.linux.deadlines import deadline_loop
from chaos.control.linux.metrics import LinuxMetrics
from chaos.control.linux.person_routes import LinuxPersonRoutes
from chaos.control.logs.access import LogAccess, WriterSource
from chaos.control.logs.handlers import LogHandlers
from chaos.control.logs.metrics import LogMetrics
from chaos.control.logs.retention import retention_loop
from chaos.control.logs.routes import log_routes
from chaos.control.logs.tails import Tails
from manager.installations.log_access import find_delegate_writer
from manager.parts import PartContext, PartRoutes

PAGE = Path(__file__).parent / "page"


async def page(_request: Request) -> Response:
    """The page of runs, hosts and their tasks."""
    return FileResponse(PAGE / "index.html")


async def run_page(_request: Request) -> Response:
    """The page of one run."""
    return FileResponse(PAGE / "run.html")


def page_routes() -> list[BaseRoute]:
    """The pages and their files, which hold nothing that needs a key."""
    return [
        Route("/experiments/", page),
        Route("/experiments/run/", run_page),
        Mount("/experiments/files", StaticFiles(directory=PAGE)),
    ]


def mount_chaos(context: PartContext) -> PartRoutes:
    """The routes and loops of chaos' server sides."""
    tails = Tails()
    registry = context.metrics.registry
    metrics = LogMetrics(registry, lambda: float(tails.number))
    of_linux = LinuxMetrics(registry)
    of_linux.follow_store(context.store, context.clock)
    agents = LinuxAgentRoutes(context, of_linux, metrics, tails, secrets.token_bytes)
    people = LinuxPersonRoutes(context, secrets.token_bytes)
    sources: list[WriterSource] = [agents.find_log_writer, partial(find_delegate_writer, context.store)]
    access = LogAccess(context.store, context.clock, lambda reason: metrics.refused.labels(reason).inc(), sources)
    logs = LogHandlers(context, access, metrics, tails)
    routes = [*log_routes(logs, metrics), *kserver_routes(context), *edge_routes(context), *run_routes(context)]
    routes += [*agents.routes(), *people.routes(), *page_routes()]
    loops = {
        "logs": retention_loop(context),
        "runs": sweeping_loop(context),
        "delegated": delegated_loop(context),
        "edges": watching_loop(context),
        "linux": deadline_loop(context, of_linux),
    }
    return PartRoutes(routes, loops, task_of_run)
