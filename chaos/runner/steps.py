"""The steps of a run, group by group: nothing is injected before its record is on the manager's disk, or twice."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from chaos.experiment_probes import probes_of
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.faults.container_kill import container_kill
from chaos.runner.faults.context import Fault, FaultContext, FaultError
from chaos.runner.faults.guarded_targets import check_targets
from chaos.runner.faults.pod_delete import pod_delete
from chaos.runner.faults.stress_and_network import HELD_FAULTS
from chaos.runner.kserver_client import AHEAD_SECONDS, Kserver, KserverUnavailableError
from chaos.runner.probes.step import SteadyStateError, StepProbes
from chaos.runner.run_state import RunState
from chaos.runner.run_windows import RunWindows
from chaos.runner.window_client import WindowClient
from chaos.step_phases import ENDED
from chaos.task_action import ActionError
from podsonar.errors import PodsonarError

FAULTS: Mapping[str, Fault] = {"pod-delete": pod_delete, "container-kill": container_kill, **HELD_FAULTS}
BY_INJECTORS = frozenset(FAULTS) - {"pod-delete"}
INTERRUPTED = "interrupted; its runner ended, and what it had injected ended with it"

log = structlog.get_logger()


class Steps:
    """The steps of one run. `stop` is set when somebody asks the run to stop, with the reason in `stop_reason`."""

    def __init__(
        self,
        kserver: Kserver,
        state: RunState,
        make_context: Callable[[str], FaultContext],
        remove_left: Callable[[], object],
        environment: ProbeEnvironment,
        end_log: Callable[[str], object] = lambda _step: None,
        collector: WindowClient | None = None,
    ) -> None:
        self.kserver, self.state, self.make_context, self.remove_left = kserver, state, make_context, remove_left
        self.environment, self.end_log = environment, end_log
        self.spec: Mapping[str, Any] = {}
        self.stop = threading.Event()
        self.windows = RunWindows(collector, kserver.run_id, self.stop.wait, time.time_ns)
        self.stop_reason = ""
        self.running: dict[str, FaultContext] = {}

    def request_stop(self, reason: str) -> None:
        """Stop what runs, and begin nothing more."""
        self.stop_reason = self.stop_reason or reason
        self.stop.set()
        for context in list(self.running.values()):
            context.stop.set()

    def recover(self, tasks: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
        """Of a run whose runner was here before: a step that was running is ended, and is not injected again."""
        running = [name for name in names if self.state.phase(name) == "Running"]
        if any(tasks[name]["definition"]["chaos"]["experiment"] in BY_INJECTORS for name in running):
            self.remove_left()
        for name in running:
            self.make_context(name).log(f"E2001: STEP_INTERRUPTED: {INTERRUPTED}", "error")
            self.end_log(name)
            self.state.end(name, "Error", message=INTERRUPTED, error_code="E2001: STEP_INTERRUPTED")

    def run(self, manifest: Mapping[str, Any]) -> None:
        """Run every group after the other; the last event says that the run has completed."""
        self.spec = manifest["spec"]
        tasks = {task["name"]: task for task in self.spec["tasks"]}
        groups = [[step["name"] for step in group] for group in self.spec["steps"]]
        self.state.begin_run()
        self.recover(tasks, [name for group in groups for name in group])
        self.kserver.post(self.state.execution, completed=False)
        for group in groups:
            waiting = [name for name in group if self.state.phase(name) not in ENDED]
            why = "" if self.stop.is_set() else self.windows.before_group(self.spec, [tasks[name] for name in waiting])
            if self.stop.is_set():
                for name in waiting:
                    self.state.skip(name, f"not begun: {self.stop_reason}")
            elif why:
                self.leave_out(waiting, why)
            else:
                self.run_group([tasks[name] for name in waiting])
        self.state.finish()
        self.kserver.post(self.state.execution, completed=True)

    def leave_out(self, names: Sequence[str], why: str) -> None:
        """Steps whose windows cannot be observed: nothing is injected, and nothing can be said of them."""
        for name in names:
            self.state.begin(name)
            self.make_context(name).log(f"verdict N/A: nothing was injected: {why}", "warn")
            self.end_log(name)
            self.state.end(name, "N/A", message=f"nothing was injected: {why}")
        self.kserver.post(self.state.execution, completed=False)

    def run_group(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Run the steps of a group side by side."""
        if not tasks:
            return
        for task in tasks:
            self.state.begin(task["name"])
        try:
            self.kserver.post(self.state.execution, completed=False, seconds=AHEAD_SECONDS)
        except KserverUnavailableError as error:
            for task in tasks:
                self.state.end(
                    task["name"], "Error", message=f"nothing injected: {error}", error_code="E2002: NOT_RECORDED"
                )
            return
        threads = [threading.Thread(target=self.run_step, args=[task], name=task["name"]) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.kserver.post(self.state.execution, completed=False)

    def run_step(self, task: Mapping[str, Any]) -> None:
        """Inject one fault between its probes and wait for its end; every failure is the step's verdict."""
        name = task["name"]
        context = self.running[name] = self.make_context(name)
        context.record = partial(self.record_injectors, name)
        context.check = partial(check_targets, context.objects, self.spec.get("guards"))
        if self.stop.is_set():
            context.stop.set()
        context.log(f"step {name} begins: {task['definition']['chaos']['experiment']}")
        try:
            probes = StepProbes(probes_of(self.spec, task), context, self.environment, self.kserver)
            self.run_between(task, context, probes)
        except FaultError as error:
            self.fail(context, name, str(error), error.code, error.plain)
        except (ActionError, PodsonarError) as error:
            self.fail(context, name, str(error), "E2003: STEP_FAILED")
        except Exception as error:  # noqa: BLE001 - the run goes on, and says which step failed
            log.error("step_failed", step=name, error=type(error).__name__)  # noqa: TRY400
            self.fail(context, name, f"defect: {type(error).__name__}", "E2003: STEP_FAILED")
        finally:
            self.running.pop(name, None)
            self.end_log(name)

    def run_between(self, task: Mapping[str, Any], context: FaultContext, probes: StepProbes) -> None:
        """Steady state, fault, steady state: the step's verdict, unless an error is raised."""
        name, outcome = task["name"], "nothing was injected"
        try:
            try:
                probes.before()
                outcome = inject(task, context)
            finally:
                probes.end_rounds()
            context.log(outcome)
            if not self.stop.is_set():
                probes.after()
        except SteadyStateError:
            context.log("the steady state is not there: nothing was injected", "warn")
        probes.log_verdicts()
        failed = probes.failed()
        if self.stop.is_set():
            percentage = probes.percentage or "0"
            verdict, message = "Stopped", f"{self.stop_reason}; {outcome}"
            context.log(f"stopped: {self.stop_reason}", "warn")
        elif failed:
            verdict, message, percentage = "Fail", f"{failed}; {outcome}", probes.percentage
        elif unjudged := probes.unjudged():
            verdict, message, percentage = "N/A", f"{unjudged}; {outcome}", probes.percentage
        else:
            verdict, message, percentage = "Pass", outcome, probes.percentage
        context.log(f"verdict {verdict}", "info" if verdict == "Pass" else "warn")
        self.state.end(name, verdict, message=message, percentage=percentage)

    def record_injectors(self, name: str, pods: Sequence[str]) -> None:
        """Record a step's injectors at the manager before they inject; FaultError if it does not store them."""
        self.state.add_helpers(name, pods)
        try:
            self.kserver.post(self.state.execution, completed=False, seconds=AHEAD_SECONDS)
        except KserverUnavailableError as error:
            raise FaultError("E2002: NOT_RECORDED", f"nothing injected: {error}") from error

    def fail(self, context: FaultContext, name: str, text: str, code: str, plain: str = "") -> None:
        """A step ended by an error."""
        context.log(f"verdict Error, {code}: {plain or text}", "error")
        self.state.end(name, "Error", message=text, error_code=code)


def inject(task: Mapping[str, Any], context: FaultContext) -> str:
    """Make the task's fault, and return what it did."""
    chaos = task["definition"]["chaos"]
    fault = FAULTS.get(chaos["experiment"])
    if fault is None:
        text = f"fault {chaos['experiment']!r} is not known: expected one of {', '.join(FAULTS)}"
        raise FaultError("E2004: UNKNOWN_FAULT", text)
    settings = {one["name"]: one["value"] for one in chaos.get("env") or () if one.get("value")}
    return fault(context, task["definition"].get("targets") or {}, settings)


def watch_for_stop(steps: Steps, seconds: float, over: threading.Event) -> None:
    """Ask the manager once, after so many seconds, whether the run shall stop; a turn of a supervised loop."""
    if over.wait(seconds) or steps.stop.is_set():
        return
    try:
        asked = steps.kserver.fetch().get("stopRequested")
    except PodsonarError as error:
        log.warning("stop_not_asked", error=str(error))
        return
    if asked:
        steps.request_stop(f"stop asked: {asked.get('reason') or 'no reason given'}")


def wall_clock() -> float:
    """Seconds since 1970."""
    return time.time()
