"""One try of a probe, and the table of what it means.

| what happened | outcome |
|---|---|
| the condition is met | Passed |
| it is not met; a command ends with another status than 0, 126, 127; refused, timed out, another HTTP status | Failed |
| an edge was not exercised or not observed: nothing can be said | N/A |
| the probe itself cannot run: no such command (126, 127), a bad URL, a comparison that makes no sense | Error |
"""

from typing import Literal, NamedTuple

Outcome = Literal["Passed", "Failed", "N/A", "Error"]
CANNOT_RUN = (126, 127)  # what a POSIX shell ends with for a command that cannot be executed, or is not there


class Attempt(NamedTuple):
    """One try: what came of it, in which words, when it began (seconds since 1970) and how long it took.

    `plain` says it without what was written by the one who was asked, or into the probe: either may be a credential.
    Empty where `text` has none of it.
    """

    outcome: Outcome
    text: str
    began: float = 0.0
    seconds: float = 0.0
    plain: str = ""

    @property
    def logged(self) -> str:
        """The words for a log."""
        return self.plain or self.text


ERROR_CODES = {
    "cmdProbe": "E2008: CMD_PROBE_ERROR",
    "httpProbe": "E2009: HTTP_PROBE_ERROR",
    "k8sProbe": "E2010: K8S_PROBE_ERROR",
    "promProbe": "E2011: PROM_PROBE_ERROR",
    "edgeProbe": "E2012: EDGE_PROBE_ERROR",
}
