"""The state of a run in its runner: which step is where, as the execution that is posted. Pure but for the clock."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# A step of which nothing can be said has not passed: the document knows no phase of its own for it.
STEP_END = {
    "Pass": "Completed",
    "Fail": "Completed_With_Probe_Failure",
    "N/A": "Completed_With_Probe_Failure",
    "Error": "Error",
    "Stopped": "Stopped",
}


class RunState:
    """The execution of a run; `clock` gives seconds since 1970. Without `has_logs` nothing is written of its steps."""

    def __init__(self, data: Mapping[str, Any], clock: Callable[[], float], *, has_logs: bool = True) -> None:
        self.has_logs = has_logs
        self.execution: dict[str, Any] = data["executionData"]
        self.run_id: str = data["experimentRunID"]
        self.clock = clock
        self.execution["eventType"] = "UPDATE"

    @property
    def now(self) -> str:
        """Unix seconds as text."""
        return str(int(self.clock()))

    def node(self, step: str) -> dict[str, Any]:
        """The node of a step."""
        found: dict[str, Any] = self.execution["nodes"][f"{self.execution['name']}-{step}"]
        return found

    def phase(self, step: str) -> str:
        """The phase of a step."""
        return str(self.node(step)["phase"])

    def begin_run(self) -> None:
        """The run has begun, unless it had before."""
        root = self.execution["nodes"][self.execution["name"]]
        for part in (self.execution, root):
            part["startedAt"] = part["startedAt"] or self.now
            part["phase"] = "Running"

    def begin(self, step: str) -> None:
        """A step runs from now on, and has its log stream if there are any."""
        node = self.node(step)
        node |= {"phase": "Running", "startedAt": self.now}
        node["chaosData"] |= {
            "experimentStatus": "Running",
            "experimentVerdict": "Awaited",
            "lastUpdatedAt": self.now,
            "streamID": f"{self.run_id}-{step}" if self.has_logs else "",
        }

    def add_helpers(self, step: str, pods: Sequence[str]) -> None:
        """A step has injectors, told of in its log; of two states of one second the manager would keep either."""
        data = self.node(step)["chaosData"]
        added = ({"name": name, "logStreamID": data["streamID"]} for name in pods)
        data["helperPodDetails"] = [*(data["helperPodDetails"] or []), *added]
        data["lastUpdatedAt"] = str(max(int(self.now), int(data["lastUpdatedAt"]) + 1))

    def end(self, step: str, verdict: str, *, message: str = "", error_code: str = "", percentage: str = "") -> None:
        """A step has ended."""
        node, phase = self.node(step), STEP_END[verdict]
        node |= {"phase": phase, "finishedAt": self.now, "message": message}
        node["chaosData"] |= {
            "experimentStatus": phase,
            "experimentVerdict": verdict,
            "lastUpdatedAt": self.now,
            "errorCode": error_code,
            "failStep": message if verdict in {"Error", "Fail"} else "",
            "probeSuccessPercentage": percentage or ("100" if verdict == "Pass" else "0"),
        }

    def skip(self, step: str, message: str) -> None:
        """A step that never ran."""
        node = self.node(step)
        node |= {"phase": "Skipped", "finishedAt": self.now, "message": message}
        node["chaosData"] |= {
            "experimentStatus": "Skipped",
            "experimentVerdict": "N/A",
            "lastUpdatedAt": self.now,
            "probeSuccessPercentage": "0",
        }

    def finish(self) -> None:
        """Every step has ended."""
        self.execution["finishedAt"] = self.execution["nodes"][self.execution["name"]]["finishedAt"] = self.now
