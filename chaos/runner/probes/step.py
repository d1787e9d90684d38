"""The probes of one step around its fault. One that cannot run is the step's error, in the document's words."""

from dataclasses import replace

import orjson

from chaos.experiment_probes import TaskProbes
from chaos.probes.attempt import Attempt
from chaos.probes.phases import DURING, Probes
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.faults.context import FaultContext, FaultError
from chaos.runner.kserver_client import Kserver
from chaos.runner.probes.edge import FaultTimes, judge_edge
from chaos.task_action import EdgeInputs, Probe

LEVELS = {"Passed": "info", "Error": "error"}


class StepProbes:
    """The probes of a step. One that cannot run, or asks for it, ends the fault."""

    def __init__(
        self, given: TaskProbes, context: FaultContext, environment: ProbeEnvironment, kserver: Kserver
    ) -> None:
        self.context, self.kserver, self.infra = context, kserver, kserver.settings.infra_id
        self.times = FaultTimes()
        self.probes = Probes(given.probes, replace(environment, judge=self.judge), self.log, self.log_try)
        self.last: dict[str, str] = {}
        self.probes.stop = context.stop
        self.begun = False
        context.on_injected, context.on_over = self.begin, self.note_end
        for name in given.undefined:
            context.log(f"probe {name} is not defined in spec.probes: not executed")

    def before(self) -> None:
        """FaultError unless the steady state is there: SOT and Edge. Continuous probes run from now on."""
        if not self.probes.before() and self.probes.error is None:
            raise SteadyStateError(self.failed())
        self.check()

    def begin(self) -> None:
        """Begin what runs while the fault is in, once."""
        self.times.begin(self.context.clock())
        if not self.begun:
            self.begun = True
            self.probes.begin_fault()

    def note_end(self) -> None:
        """The fault is about to end."""
        self.times.end(self.context.clock())

    def judge(self, inputs: EdgeInputs, seconds: float) -> Attempt:
        """What the manager's map says of an edge."""
        return judge_edge(self.kserver.ask_edge, inputs, self.times, seconds, self.context.stop)

    def end_rounds(self) -> None:
        """End what runs all the time."""
        self.probes.end_rounds()

    def after(self) -> None:
        """Run EOT and Edge; FaultError if a probe of any mode could not run."""
        self.check()
        self.probes.after()
        self.check()

    def check(self) -> None:
        """FaultError if a probe could not run, as the document's results word it."""
        found = self.probes.error
        if found is not None:
            target = f"{{chaosInfraID: {self.infra}, probeName: {found.probe}}}"
            reason = {"errorCode": found.code, "phase": found.phase, "reason": found.reason, "target": target}
            text = f"probe {found.probe} could not run, {found.phase}"
            raise FaultError(found.code, orjson.dumps(reason).decode(), text)

    def failed(self) -> str:
        """The probes that failed, with what they found; empty if none did."""
        verdicts = [one for one in self.probes.probes if self.probes.verdict(one) == "Failed"]
        return "; ".join(f"probe {one.name}: {self.probes.describe(one)}" for one in verdicts)

    def unjudged(self) -> str:
        """The probes of which nothing can be said, with the reason; empty without one."""
        found = {one.name: self.probes.attempts[one.name] for one in self.probes.probes}
        names = [name for name, tries in found.items() if tries and tries[-1].outcome == "N/A"]
        return "; ".join(f"probe {name}: not judged: {found[name][-1].text}" for name in names)

    @property
    def percentage(self) -> str:
        """Probes that passed, in whole percent; empty for a step without probes."""
        return str(self.probes.percentage()) if self.probes.probes else ""

    def log(self, probe: Probe, phase: str, found: Attempt) -> None:
        """A line per round; of those that run all the time only what did not pass, and the first that passed again."""
        known, self.last[probe.name] = self.last.get(probe.name), found.outcome
        if phase != DURING or found.outcome != "Passed" or known != "Passed":
            text = f"probe {probe.name} {phase}: {found.outcome} in {found.seconds:.2f} s: {found.logged}"
            self.context.log(text, LEVELS.get(found.outcome, "warn"))

    def log_try(self, probe: Probe, found: Attempt) -> None:
        """A line per try that was followed by another one."""
        self.context.log(f"probe {probe.name} tried in vain in {found.seconds:.2f} s: {found.logged}", "warn")

    def log_verdicts(self) -> None:
        """A line per probe: its verdict, and of how many rounds."""
        for one in self.probes.probes:
            found, verdict = self.probes.attempts[one.name], self.probes.verdict(one)
            passed = sum(attempt.outcome == "Passed" for attempt in found)
            text = f"probe {one.name}, {one.mode}: {verdict}, {passed} of {len(found)} rounds passed"
            self.context.log(text, LEVELS.get(verdict, "warn"))


class SteadyStateError(Exception):
    """The steady state was not there before the fault: nothing was injected, and the step has failed."""
