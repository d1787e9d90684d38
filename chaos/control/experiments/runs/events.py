"""What a runner sends of its run: the body of `POST …/task/response/<infra>`, checked. Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import orjson

from chaos.step_phases import ENDED
from podsonar.errors import InputError
from podsonar.timestamp import LAST_SECOND

MOST_EXECUTION_BYTES = 1 << 20
MOST_NODES = 256

Text = Annotated[str, msgspec.Meta(max_length=4096)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Seconds = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{0,12}$")]  # Unix time as text, empty for none

Phase = Literal[
    "Pending",
    "Running",
    "Completed",
    "Completed_With_Probe_Failure",
    "Error",
    "Stopped",
    "Skipped",
    "Timeout",
    "Queued",
    "Blocked",  # of a run that a guard refused
]
Verdict = Literal["", "Awaited", "Pass", "Fail", "Error", "Stopped", "N/A"]


class HelperPod(msgspec.Struct, frozen=True):
    """A pod that helps a step, and its log."""

    name: Text
    logStreamID: Text = ""  # noqa: N815 - the document's own


class ChaosData(msgspec.Struct, frozen=True, rename="camel"):
    """The chaos part of a step."""

    namespace: Text
    experiment_name: Text
    experiment_status: Text
    last_updated_at: Seconds
    experiment_verdict: Verdict
    probe_success_percentage: Annotated[str, msgspec.Meta(pattern=r"^(|100|[0-9]{1,2})$")]
    fail_step: Text
    task_definition_cr: Text = msgspec.field(name="taskDefinitionCR")
    error_code: Text
    stream_id: Text = msgspec.field(name="streamID")
    helper_pod_details: tuple[HelperPod, ...] | None


class Node(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A node of a run: the root of type `Steps`, or a step."""

    name: Name
    phase: Phase
    message: Text
    started_at: Seconds
    finished_at: Seconds
    children: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_NODES)] | None
    type: Literal["Steps", "K8sTask"]
    chaos_data: ChaosData | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the phase is a last one."""
        return self.phase in ENDED


class Execution(msgspec.Struct, frozen=True, rename="camel"):
    """The state of a run as its runner sees it; `nodes` by key, the root's key is `name`."""

    workflow_type: Literal["events"]
    event_type: Literal["CREATE", "UPDATE"]
    namespace: Text
    name: Name
    creation_timestamp: Seconds
    phase: Phase
    message: Text
    started_at: Seconds
    finished_at: Seconds
    nodes: Annotated[dict[Name, Node], msgspec.Meta(max_length=MOST_NODES)]
    executed_by: Text

    @property
    def steps(self) -> Mapping[str, Node]:
        """The nodes that do something."""
        return {key: node for key, node in self.nodes.items() if node.type == "K8sTask"}


class EventArguments(msgspec.Struct, frozen=True, rename="camel"):
    """`args` of a body."""

    completed: Literal["true", "false"]
    execution_data: Annotated[str, msgspec.Meta(max_length=MOST_EXECUTION_BYTES)]
    infra_id: Name = msgspec.field(name="infraID")
    notify_id: Text = msgspec.field(name="notifyID")
    workflow_id: Name = msgspec.field(name="workflowID")
    workflow_name: Text
    workflow_run_id: Text = msgspec.field(name="workflowRunID")
    updated_by: Text = ""


class EventBody(msgspec.Struct, frozen=True, rename="camel"):
    """A body."""

    task_type: Literal["WORKFLOW_EVENT"]
    execution_type: Text
    infra_id: Name
    args: EventArguments


class RunEvent(msgspec.Struct, frozen=True):
    """A checked event of a run; the run is found by `run_id`, or by `notify_id` where that is empty."""

    infra_id: str
    experiment_id: str
    run_id: str
    notify_id: str
    completed: bool
    execution: Execution


def read_event(content: bytes, infra_id: str) -> RunEvent:
    """The event of a body for an infrastructure; InputError says which member is wrong and what was expected."""
    try:
        body = msgspec.json.decode(content, type=EventBody)
        execution = msgspec.json.decode(body.args.execution_data, type=Execution)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"event: {error}") from error
    if not infra_id == body.infra_id == body.args.infra_id:
        raise InputError("event: infraId, args.infraID and the path differ: expected one infrastructure")
    if "\0" in body.args.workflow_run_id + body.args.notify_id + body.args.workflow_id:
        raise InputError("event: NUL character, expected ids without it")
    completed = body.args.completed == "true"
    check_nodes(execution, completed=completed)
    check_times(execution)
    return RunEvent(
        infra_id, body.args.workflow_id, body.args.workflow_run_id, body.args.notify_id, completed, execution
    )


def check_nodes(execution: Execution, *, completed: bool) -> None:
    """InputError unless the nodes are a whole: a root, known children, chaos data at each step."""
    root = execution.nodes.get(execution.name)
    if root is None or root.type != "Steps":
        raise InputError(f"event: nodes have no root {execution.name!r} of type Steps")
    for key, node in execution.nodes.items():
        if (node.chaos_data is None) == (node.type == "K8sTask"):
            raise InputError(f"event: node {key!r} of type {node.type}: expected chaosData at a K8sTask and only there")
        unknown = [child for child in node.children or () if child not in execution.nodes]
        if unknown:
            raise InputError(f"event: node {key!r} has a child {unknown[0]!r} that is no node")
    running = [key for key, node in execution.steps.items() if not node.has_ended]
    if completed and running:
        raise InputError(f"event: completed is true and node {running[0]!r} has not ended")


def check_state(execution: Execution) -> bytes:
    """The JSON of a state as it is stored; InputError for one that is too large, or that could not be read again.

    Events within their bounds, and names within theirs, may together make a state that is beyond them.
    """
    text = msgspec.json.encode(execution)
    if len(text) > MOST_EXECUTION_BYTES:
        raise InputError(f"the run's state would have {len(text)} bytes, expected at most {MOST_EXECUTION_BYTES}")
    try:
        msgspec.json.decode(text, type=Execution)
    except msgspec.ValidationError as error:
        raise InputError(f"the run's state could not be read again: {error}") from error
    return text


def check_times(execution: Execution) -> None:
    """InputError for a time that cannot be written as a date."""
    nodes = execution.nodes.values()
    times = [execution.creation_timestamp, execution.started_at, execution.finished_at]
    times += [time for node in nodes for time in (node.started_at, node.finished_at)]
    times += [node.chaos_data.last_updated_at for node in nodes if node.chaos_data is not None]
    beyond = [time for time in times if int(time or 0) > LAST_SECOND]
    if beyond:
        raise InputError(f"event: time {beyond[0]}: expected seconds since 1970, at most {LAST_SECOND}")


def execution_json(execution: Execution) -> Any:  # noqa: ANN401 - JSON
    """The execution as an object, in the document's order of members."""
    return orjson.loads(msgspec.json.encode(execution))
