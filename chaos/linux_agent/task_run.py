"""One task from its first probe to its result. Its fault ends by time, by an abort, by a lost contact, by a probe."""

import threading
import time
from collections.abc import Callable
from typing import Any

from chaos.faults.fault import InjectionError
from chaos.faults.holder_client import Held, Released, hold
from chaos.faults.kill import kill
from chaos.linux_agent.fault_table import Host, Plan, make_plan
from chaos.linux_agent.log_lines import TaskLog
from chaos.linux_agent.result import BAD_TASK, CONTACT_LOST, INJECTION, Failure, judged, make_result, target_of
from chaos.linux_agent.result import not_evaluated as no_probes
from chaos.probes.attempt import Attempt
from chaos.probes.phases import AFTER, BEFORE, DURING, Probes
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.task_action import ActionError, Chaos, Probe, read_action

BEAT_SECONDS = 0.5
CONTACT_SECONDS = 25.0


class Contact:
    """When the manager last answered."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.answered = monotonic()

    def note(self) -> None:
        """An answer has come."""
        self.answered = self.monotonic()

    def is_lost(self) -> bool:
        """Whether the manager has not answered for 25 seconds."""
        return self.monotonic() - self.answered > CONTACT_SECONDS


class TaskRun:
    """Runs in a thread of its own; `abort` may be set by any."""

    def __init__(
        self,
        task: dict[str, Any],
        host: Host,
        infra_id: str,
        environment: ProbeEnvironment,
        contact: Contact,
        on_release: Callable[[Chaos, str], object] = lambda _chaos, _by: None,
    ) -> None:
        self.task, self.host, self.infra_id = task, host, infra_id
        self.environment, self.contact, self.on_release = environment, contact, on_release
        self.log = TaskLog(task, time.time)
        self.abort = threading.Event()
        self.result: dict[str, Any] | None = None
        self.thread = threading.Thread(target=self.run, name="task", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def is_over(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    def run(self) -> None:
        """Run the task; whatever happens there is a result."""
        try:
            chaos = read_action(self.task["action"])
        except (ActionError, KeyError) as error:
            self.result = self.error_without_probes(BAD_TASK, BEFORE, str(error))
            return
        try:
            self.result = self.run_chaos(chaos)
        except Exception as error:  # noqa: BLE001 - a defect must not leave the manager without a result
            self.log.write(f"[Error]: {type(error).__name__}", "error")
            self.result = self.error_without_probes(INJECTION, DURING, f"internal error: {type(error).__name__}")

    def error_without_probes(self, code: str, phase: str, reason: str) -> dict[str, Any]:
        """An error's result of a task whose probes say nothing."""
        failure = Failure(code, phase, reason, target_of(self.infra_id))
        return make_result("Error", "Error", failure, 0, no_probes(self.task))

    def run_chaos(self, chaos: Chaos) -> dict[str, Any]:
        """Steady state, fault, steady state."""
        probes = Probes(chaos.probes, self.environment, self.log_attempt)
        self.log.write("[Status]: Verify experiment steady state")
        failure: Failure | None = None
        if probes.before() and not self.abort.is_set():
            try:
                plan = make_plan(chaos, self.host)
                self.log.write("[Info]: The stress process parameters are as follows", **plan.parameters)
                self.log.write(f"[Chaos]: Injecting {plan.title} chaos")
                failure = self.inject(chaos, plan, probes)
            except InjectionError as error:
                failure = Failure(INJECTION, DURING, str(error), target_of(self.infra_id))
                self.log.write(f"[Error]: {error}", "error")
            probes.end_rounds()
            if failure is None and probes.error is None and not self.abort.is_set():
                self.log.write("[Status]: Verify experiment steady state after chaos")
                probes.after()
        else:
            probes.end_rounds()
            self.log.write("[Status]: Nothing was injected")
        if failure is None and probes.error is not None:
            found = probes.error
            target = target_of(self.infra_id, probeName=found.probe)
            failure = Failure(found.code, found.phase, found.reason, target)
        return judged(probes, failure, stopped=self.abort.is_set())

    def log_attempt(self, probe: Probe, phase: str, found: Attempt) -> None:
        """A line for a probe's round; of those that run all the time only what did not pass."""
        if phase != DURING or found.outcome != "Passed":
            level = "info" if found.outcome == "Passed" else "error"
            when = {BEFORE: "before chaos", DURING: "during chaos", AFTER: "after chaos"}[phase]
            self.log.write(f"[Probe]: {probe.name} {when}: {found.outcome}: {found.text}", level)

    def inject(self, chaos: Chaos, plan: Plan, probes: Probes) -> Failure | None:
        """Make the fault and wait for its end; why it is an error, if it is one."""
        if plan.fault is None:
            probes.begin_fault()
            hit = [process for process in plan.processes if kill(process, force=plan.force)]
            self.on_release(chaos, "ended")
            self.log.write("[Chaos]: Processes are signalled", killed=str(len(hit)), asked=str(len(plan.processes)))
            self.abort.wait(chaos.duration_seconds())
            return None
        with hold(plan.fault, chaos.duration_seconds()) as held:
            probes.begin_fault()
            lost = self.wait_for_end(held, probes)
            released = held.release()
        self.on_release(chaos, released.by)
        self.log_release(plan, released)
        if lost:
            reason = f"no answer of the manager for {CONTACT_SECONDS:.0f} s; the fault is released"
            return Failure(CONTACT_LOST, DURING, reason, target_of(self.infra_id))
        if released.by == "G4":
            return Failure(
                INJECTION, DURING, "the holder of the fault died; so the fault ended", target_of(self.infra_id)
            )
        return None

    def wait_for_end(self, held: Held, probes: Probes) -> bool:
        """Wait until the fault is over or has to be; whether the contact is lost."""
        while not held.ended() and not self.abort.is_set() and not probes.stop.is_set():
            if self.contact.is_lost():
                return True
            held.beat()
            self.abort.wait(BEAT_SECONDS)
        return False

    def log_release(self, plan: Plan, released: Released) -> None:
        """A line with how the fault ended and what it did."""
        counters = {name: f"{value:.15g}" for name, value in released.counters.items()}
        self.log.write(f"[Chaos]: The {plan.title} chaos is over", by=released.by, **counters)
