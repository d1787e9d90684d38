"""Metrics of Linux infrastructure, in the manager's registry."""

import math
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import Select, func, select

from chaos.control.linux.infras import BEAT_SECONDS, MISSED_BEATS
from chaos.control.linux.tables import INFRAS, LINUX_TASKS
from chaos.control.linux.tasks import ENDED, QUEUED, RUNNING, TIMEOUT
from manager.store.database import Store
from podsonar.errors import StoreError
from podsonar.logs_and_probes import start_at_zero
from podsonar.timestamp import NS_PER_SECOND

REFUSALS = ("no_key", "wrong_key", "too_many")


class LinuxMetrics:
    """Hosts by state, tasks by status, refusals by reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "podsonar_manager_linux_requests_total", "Requests of Linux agents by status", ["code"], registry=registry
        )
        self.refused = Counter(
            "podsonar_manager_linux_auth_failures_total",
            "Requests of Linux agents refused by reason",
            ["reason"],
            registry=registry,
        )
        self.ended = Counter(
            "podsonar_manager_linux_tasks_ended_total", "Tasks ended by status", ["status"], registry=registry
        )
        self.infras = Gauge(
            "podsonar_manager_linux_infras",
            "Linux hosts by state; silent: three beats missed",
            ["state"],
            registry=registry,
        )
        self.tasks = Gauge(
            "podsonar_manager_linux_tasks", "Tasks that are not over, by status", ["status"], registry=registry
        )
        start_at_zero(self.refused, REFUSALS)
        start_at_zero(self.ended, (*ENDED, TIMEOUT))

    def follow_store(self, store: Store, clock: Callable[[], int]) -> None:
        """Let the gauges follow the store; not a number while it does not answer."""
        for state in ("active", "silent"):
            self.infras.labels(state).set_function(partial(count_infras, store, clock, state))
        for status in (QUEUED, RUNNING):
            self.tasks.labels(status).set_function(partial(count_tasks, store, status))


def count_infras(store: Store, clock: Callable[[], int], state: str) -> float:
    """How many confirmed hosts are in that state."""
    oldest_ns = clock() - MISSED_BEATS * BEAT_SECONDS * NS_PER_SECOND
    seen = INFRAS.c.seen_ns >= oldest_ns if state == "active" else INFRAS.c.seen_ns < oldest_ns
    wanted = select(func.count()).select_from(INFRAS).where(INFRAS.c.removed_ns.is_(None), seen)
    return count(store, wanted)


def count_tasks(store: Store, status: str) -> float:
    """How many tasks have that status."""
    return count(store, select(func.count()).select_from(LINUX_TASKS).where(LINUX_TASKS.c.status == status))


def count(store: Store, wanted: Select[int]) -> float:
    """The number that a statement gives."""
    try:
        with store.reading() as connection:
            return float(connection.execute(wanted).scalar_one())
    except StoreError:
        return math.nan
