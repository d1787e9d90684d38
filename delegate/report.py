"""The last stage of every step: what is known so far, sent to the manager; each report renews the lease."""

import threading
from collections.abc import Callable, Sequence

import structlog

from cluster_api.resources import ObjectName
from delegate.log_lines import LogLines
from delegate.poll import Manager
from delegate.task import AgentReport, ObjectReport, Status, Task, TaskReport
from podsonar.errors import ManagerUnavailableError, TokenError
from podsonar.supervised import Backoff, start_supervised

LOST_STATUSES = (404, 409)  # the task is gone, or its lease another's
CHANGES = ("created", "configured", "deleted")
LEASE_PARTS = 3  # reports per lease, so that two may fail

log = structlog.get_logger()


class Reporter:
    """Reports about one attempt of a task; `lost` is set once it is not this delegate's any more."""

    def __init__(self, manager: Manager, delegate_id: str, task: Task, stop: threading.Event, lines: LogLines) -> None:
        self.manager, self.delegate_id, self.task, self.stop, self.lines = manager, delegate_id, task, stop, lines
        self.lock = threading.Lock()
        self.objects: dict[ObjectName, ObjectReport] = {}
        self.injectors_gone = False
        self.lost = threading.Event()
        self.done = threading.Event()

    def note(self, found: ObjectReport) -> None:
        """Keep the newest state of an object for the next report."""
        name = ObjectName(found.api_version, found.kind, found.namespace, found.name)
        with self.lock:
            self.objects[name] = found
        if found.result in CHANGES:
            self.lines.write(f"{name}: {found.result}")
        elif found.message:
            self.lines.write(f"{name}: {found.result}: {found.message}", "error")

    def stopped(self, seconds: float) -> bool:
        """Sleep; whether the work is to end: the lease is lost, or the program ends."""
        return self.lost.wait(seconds) or self.stop.is_set()

    def send(self, status: Status, message: str = "", agent: AgentReport | None = None) -> int | None:
        """Send one report; its status, or None where the manager could not be asked."""
        with self.lock:
            objects = list(self.objects.values())
        report = TaskReport(
            delegate_id=self.delegate_id,
            attempt=self.task.attempt,
            status=status,
            message=message,
            objects=objects,
            agent_details=agent,
            injectors_gone=self.injectors_gone,
        )
        try:
            answer = self.manager.report(self.task.id, report)
        except (ManagerUnavailableError, TokenError) as error:
            log.warning("report_failed", task=self.task.id, error=str(error))
            return None
        if answer in LOST_STATUSES:
            log.warning("task_lost", task=self.task.id, attempt=self.task.attempt, status=answer)
            self.lost.set()
        return answer

    def confirm(self, status: Status, message: str = "", agent: AgentReport | None = None) -> bool:
        """Send a report until it is accepted; False where the task is lost or the program ends meanwhile."""
        if status != "RUNNING":
            self.lines.write(f"{status} {message}".strip(), "info" if status == "SUCCESS" else "error")
        pace = Backoff(longest_seconds=10.0)
        while not self.lost.is_set():
            if self.send(status, message, agent) == 200:
                return True
            if self.stopped(pace.next_seconds()):
                break
        return False

    def renew(self) -> None:
        """Renew the lease when its time has come, unless the work is done or lost; a turn of a supervised loop."""
        if not self.done.wait(self.task.lease_seconds / LEASE_PARTS) and not self.lost.is_set():
            self.send("RUNNING")

    def working(self) -> "Renewal":
        """A context in which the lease is renewed."""
        return Renewal(self)


class Renewal:
    """Renews a lease in a thread while a block runs."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def __enter__(self) -> None:
        start_supervised("lease", self.reporter.renew, self.reporter.done)

    def __exit__(self, *_: object) -> None:
        self.reporter.done.set()


Note = Callable[[ObjectReport], object]


def sentences(found: Sequence[ObjectReport]) -> str:
    """The messages of reports, with the object of each, in one text."""
    return "; ".join(f"{one.kind} {one.name}: {one.message}" for one in found)
