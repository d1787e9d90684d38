"""The agent: confirms, asks for tasks, runs one at a time, reports. `step` is one turn; it never waits for a fault."""

import time
from collections.abc import Callable
from typing import Any

import structlog

from chaos.linux_agent.access_key import AccessKey
from chaos.linux_agent.fault_table import Host
from chaos.linux_agent.journal import Journal
from chaos.linux_agent.lserver_client import LserverClient, NoAnswerError
from chaos.linux_agent.metrics import LinuxAgentMetrics
from chaos.linux_agent.result import INTERRUPTED, Failure, make_result, not_evaluated, result_body, target_of
from chaos.linux_agent.task_run import Contact, TaskRun
from chaos.probes.phases import DURING
from chaos.probes.probe_rounds import ProbeEnvironment
from podsonar.errors import TokenError

STATUS_SECONDS, LOG_SECONDS, LIVENESS_SECONDS = 5.0, 1.0, 20.0
ANSWER_SECONDS = 25.0  # for the first status of a task: without an answer nothing is injected
WAIT_SECONDS, RUN_WAIT_SECONDS = 0.5, 0.2
INTERRUPTION = "the agent was interrupted; the fault ended with it, and is not injected again"
MEMBERS = ("taskName", "lceUID", "streamID", "accountID", "action")

log = structlog.get_logger()


class Due:
    """Something that is done every so often."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.at = seconds, 0.0

    def now(self) -> bool:
        """Whether it is time; the next time counts from now."""
        if time.monotonic() < self.at:
            return False
        self.at = time.monotonic() + self.seconds
        return True


class LinuxAgent:
    """One host's agent."""

    def __init__(
        self,
        client: LserverClient,
        key: AccessKey,
        journal: Journal,
        host: Host,
        environment: ProbeEnvironment,
        metrics: LinuxAgentMetrics,
        hostname: str,
        version: str,
        poll_seconds: float,
    ) -> None:
        self.client, self.key, self.journal, self.metrics = client, key, journal, metrics
        self.host, self.environment = host, environment
        self.hostname, self.version = hostname, version
        self.contact = Contact()
        self.run: TaskRun | None = None
        self.is_confirmed = False
        self.confirms, self.polls, self.sends = Due(poll_seconds), Due(poll_seconds), Due(poll_seconds)
        self.statuses, self.logs, self.beats = Due(STATUS_SECONDS), Due(LOG_SECONDS), Due(LIVENESS_SECONDS)

    def confirm(self) -> bool:
        """Confirm with each key that may be good, and keep the new one; whether the manager knows this host."""
        for key in self.key.candidates():
            self.client.key = key
            answer = self.client.confirm(self.hostname, self.version)
            if answer.status == 200:
                made = str(answer.body.get("newAccessKey", ""))
                self.client.infra_id = str(answer.body.get("infraID", ""))
                self.key.keep(made)
                self.client.key = made
                log.info("confirmed", infra=self.client.infra_id, hostname=self.hostname)
                return True
            log.warning("not_confirmed", status=answer.status, message=str(answer.body.get("message", ""))[:200])
        return False

    def report_interrupted(self, reason: str = INTERRUPTION) -> None:
        """Results for tasks that were begun and have none."""
        for task in self.journal.interrupted():
            failure = Failure(INTERRUPTED, DURING, reason, target_of(self.client.infra_id))
            result = make_result("Error", "Error", failure, 0, not_evaluated(task))
            log.warning("task_interrupted", task=task["taskName"], reason=reason)
            self.finish(task, result, "")

    def finish(self, task: dict[str, Any], result: dict[str, Any], logs: str) -> None:
        """Keep a result until the manager has it."""
        self.journal.finish(task, result_body(result, logs))
        self.metrics.tasks.labels(result["taskStatus"]).inc()

    def step(self) -> float:
        """One turn; seconds until the next."""
        try:
            if not self.is_confirmed and self.confirms.now():
                self.is_confirmed = self.confirm()
                if self.is_confirmed:
                    self.report_interrupted()
            if self.is_confirmed:
                self.exchange()
        except (NoAnswerError, TokenError) as error:
            log.warning("manager_not_reached", error=str(error))
        if self.run is not None and self.run.is_over():
            self.end_task(self.run)
        return RUN_WAIT_SECONDS if self.run else WAIT_SECONDS

    def exchange(self) -> None:
        """What is due."""
        if self.run is not None:
            self.report_on(self.run)
            return
        if self.sends.now():
            self.send_results()
        if self.beats.now():
            self.check(self.client.liveness().status)
        if self.polls.now():
            self.ask_for_task()

    def check(self, status: int) -> None:
        """Note an answer; after 401 confirm again."""
        if status == 401:
            self.is_confirmed = False
            log.warning("access_key_refused")
        elif status < 500:
            self.contact.note()

    def ask_for_task(self) -> None:
        """Take a task if there is one."""
        answer = self.client.task()
        self.check(answer.status)
        tasks = answer.body.get("taskList")
        if answer.status != 200 or not isinstance(tasks, list) or not tasks:
            return
        task = tasks[0]
        if not isinstance(task, dict) or not all(isinstance(task.get(name), str) for name in MEMBERS[:4]):
            log.error("task_not_understood", members=sorted(map(str, task))[:20] if isinstance(task, dict) else [])
            return
        self.begin(task)

    def begin(self, task: dict[str, Any]) -> None:
        """Write a task down, report it, and run it once the manager has answered; never a second time."""
        if self.journal.has_begun(task["lceUID"]):
            log.warning("task_came_again", task=task["taskName"])
            if not any(name == task["taskName"] for _path, name, _body in self.journal.waiting()):
                self.journal.begin(task)
                self.report_interrupted()
            return
        self.journal.begin(task)
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                answer = self.client.status(task["taskName"], "Running", task["lceUID"])
            except NoAnswerError:
                if time.monotonic() > until:
                    self.report_interrupted("the manager did not answer the first status; nothing was injected")
                    return
                time.sleep(1)
            else:
                break
        self.check(answer.status)
        if answer.status != 200:
            reason = f"the manager answered {answer.status} to the first status; nothing was injected"
            self.report_interrupted(reason)
            return
        self.contact.note()
        self.run = TaskRun(task, self.host, self.client.infra_id, self.environment, self.contact, self.count_release)
        if answer.body.get("abort"):
            self.run.abort.set()
        log.info("task_begun", task=task["taskName"])
        self.metrics.is_running.set(1)
        self.run.start()

    def count_release(self, _chaos: object, by: str) -> None:
        """Count how a fault ended."""
        self.metrics.released.labels(by).inc()

    def report_on(self, run: TaskRun) -> None:
        """Lines and status of the task that runs."""
        if self.statuses.now():
            answer = self.client.status(run.task["taskName"], "Running", run.task["lceUID"])
            self.check(answer.status)
            if answer.body.get("abort") or answer.status in (404, 409):
                run.abort.set()
        if self.logs.now():
            self.send_lines(run)

    def send_lines(self, run: TaskRun) -> None:
        """Send the lines that wait; what the manager refuses for good is counted, and is in the result."""
        while (request := run.log.next_request()) is not None:
            request_id, body = request
            status = self.client.logs(body, request_id).status
            self.check(status)
            if status in {401, 429} or status >= 500:
                return
            if status != 200:
                self.metrics.logs_refused.inc()
            run.log.taken()

    def end_task(self, run: TaskRun) -> None:
        """Keep the result, then send the last lines."""
        run.thread.join()
        if run.result is None:
            return
        self.finish(run.task, run.result, run.log.text())
        log.info("task_ended", task=run.task["taskName"], status=run.result["taskStatus"])
        self.run = None
        self.metrics.is_running.set(0)
        self.sends.at = 0.0
        try:
            self.send_lines(run)
            self.send_results()
        except NoAnswerError as error:
            log.warning("result_waits", task=run.task["taskName"], error=str(error))

    def send_results(self) -> None:
        """Send what waits, the oldest first; a result that the manager will never take is dropped and counted."""
        waiting = self.journal.waiting()
        self.metrics.waiting.set(len(waiting))
        ages = [time.time() - path.stat().st_mtime for path, _name, _body in waiting]
        self.metrics.oldest.set(max(ages, default=0.0))
        for path, name, body in waiting:
            status = self.client.result(name, body).status
            self.check(status)
            if status in (400, 404, 409, 413):
                self.metrics.dropped.labels("refused").inc()
                log.error("result_refused", task=name, status=status)
            elif status != 200:
                return
            self.journal.taken(path)
            self.metrics.waiting.dec()
        self.journal.forget_old()

    def serve(self, is_over: Callable[[float], bool]) -> None:
        """Turn after turn until `is_over(seconds)` says so; a task that runs is aborted then, and its result kept."""
        while not is_over(self.step()):
            pass
        if self.run is not None:
            self.run.abort.set()
            self.run.thread.join(60)
            self.end_task(self.run)
