"""Which probe runs when, what each has found, and what that gives: statuses, percentage, the first error.

SOT runs before the fault, EOT after it, Edge both times, Continuous from before to after, OnChaos while it is in.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from chaos.probes.attempt import ERROR_CODES, Attempt
from chaos.probes.probe_rounds import ProbeEnvironment, run_round
from chaos.task_action import Probe

BEFORE, DURING, AFTER = "PreChaos", "DuringChaos", "PostChaos"
NOT_EVALUATED = "Either probe is not executed or not evaluated"
KEPT_ATTEMPTS = 1000


class ProbeError(NamedTuple):
    """A probe that could not run."""

    probe: str
    code: str
    phase: str
    reason: str


class Probes:
    """The probes of one task; `stop` is set where a probe asks for the end of the fault.

    `report` gets the outcome of each round, `heard` the tries of a round before its last.
    """

    def __init__(
        self,
        probes: list[Probe],
        environment: ProbeEnvironment,
        report: Callable[[Probe, str, Attempt], object] = lambda _probe, _phase, _attempt: None,
        heard: Callable[[Probe, Attempt], object] = lambda _probe, _attempt: None,
    ) -> None:
        self.probes, self.environment, self.report, self.heard = probes, environment, report, heard
        self.attempts: dict[str, list[Attempt]] = {probe.name: [] for probe in probes}
        self.phases: dict[str, set[str]] = {probe.name: set() for probe in probes}
        self.error: ProbeError | None = None
        self.stop = threading.Event()
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.threads: list[threading.Thread] = []

    def note(self, probe: Probe, phase: str, found: Attempt) -> None:
        """Keep a try's outcome."""
        with self.lock:
            if len(self.attempts[probe.name]) < KEPT_ATTEMPTS or found.outcome != "Passed":
                self.attempts[probe.name].append(found)
            self.phases[probe.name].add(phase)
            if found.outcome == "Error" and self.error is None:
                self.error = ProbeError(probe.name, ERROR_CODES[probe.type], phase, found.text)
        self.report(probe, phase, found)
        if found.outcome == "Error" or (found.outcome == "Failed" and probe.properties.stop_on_failure):
            self.stop.set()

    def run(self, phase: str, modes: tuple[str, ...]) -> bool:
        """Run the probes of these modes one after the other; False at the first that could not run."""
        for probe in (probe for probe in self.probes if probe.mode in modes):
            found = run_round(probe, self.environment, self.over.wait, partial(self.heard, probe))
            self.note(probe, phase, found)
            if found.outcome == "Error":
                return False
        return True

    def before(self) -> bool:
        """Whether the steady state is there: SOT and Edge passed. Continuous ones begin.

        Not if any probe, of whatever mode, is a command where none is run: that is an error before the fault.
        """
        for probe in self.probes if self.environment.refused else ():
            if probe.command is not None:
                self.note(probe, BEFORE, Attempt("Error", self.environment.refused))
                return False
        passed = self.run(BEFORE, ("SOT", "Edge")) and not self.has_failed()
        if passed:
            self.begin("Continuous")
        return passed

    def begin_fault(self) -> None:
        """The fault is in: OnChaos probes begin."""
        self.begin("OnChaos")

    def begin(self, mode: str) -> None:
        """A thread for each probe of a mode, until `end_rounds`."""
        for probe in (probe for probe in self.probes if probe.mode == mode):
            thread = threading.Thread(target=self.repeat, args=(probe,), name=f"probe-{mode}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def repeat(self, probe: Probe) -> None:
        """Round after round."""
        while not self.over.is_set():
            found = run_round(probe, self.environment, self.over.wait, partial(self.heard, probe))
            if self.over.is_set() and found.outcome == "Failed" and self.attempts[probe.name]:
                return  # cut short by the end of the fault
            self.note(probe, DURING, found)
            if found.outcome == "Error" or self.over.wait(probe.properties.polling_seconds()):
                return

    def end_rounds(self) -> None:
        """End what runs all the time; each ends with its current try at the latest."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.threads.clear()
        self.over.clear()

    def after(self) -> bool:
        """Run EOT and Edge; False if one could not run."""
        return self.run(AFTER, ("EOT", "Edge"))

    def has_failed(self) -> bool:
        """Whether any try that counts has failed."""
        return any(self.verdict(probe) == "Failed" for probe in self.probes)

    def verdict(self, probe: Probe) -> str:
        """`Passed`, `Failed` or `N/A` of a probe so far."""
        found = self.attempts[probe.name]
        if not found or any(attempt.outcome == "Error" for attempt in found):
            return "N/A"
        if any(attempt.outcome == "Failed" for attempt in found):
            return "Failed"
        if any(attempt.outcome == "N/A" for attempt in found):
            return "N/A"
        return "N/A" if probe.mode == "Edge" and AFTER not in self.phases[probe.name] and self.error else "Passed"

    def statuses(self) -> list[dict[str, Any]]:
        """The probes as the document's result lists them."""
        return [
            {
                "name": probe.name,
                "type": probe.type,
                "mode": probe.mode,
                "status": {"verdict": self.verdict(probe), "description": self.describe(probe)},
            }
            for probe in self.probes
        ]

    def describe(self, probe: Probe) -> str:
        """What a probe has found, in one sentence."""
        verdict, found = self.verdict(probe), self.attempts[probe.name]
        if verdict == "N/A":
            return f"not judged: {found[-1].text}" if found and found[-1].outcome == "N/A" else NOT_EVALUATED
        failed = [attempt for attempt in found if attempt.outcome == "Failed"]
        if verdict == "Failed":
            return f"{len(failed)} of {len(found)} rounds failed; the last: {failed[-1].text}"
        return f"{len(found)} of {len(found)} rounds passed"

    def percentage(self) -> int:
        """Probes that passed of all, in whole percent; 100 without probes, 0 after an error."""
        if self.error is not None:
            return 0
        passed = sum(self.verdict(probe) == "Passed" for probe in self.probes)
        return passed * 100 // len(self.probes) if self.probes else 100
