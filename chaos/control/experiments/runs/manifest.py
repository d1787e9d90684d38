"""The manifest of an experiment: its tasks, the order of its steps, and the run's state before anything began. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from chaos.control.experiments.runs.events import ChaosData, Execution, Name, Node
from chaos.control.judge.edge_claim import hypothesis_of
from chaos.control.judge.hypothesis import Hypothesis, read_hypothesis
from chaos.experiment_probes import probes_of
from chaos.guard_settings import GuardSettings
from chaos.task_action import ActionError
from chaos.window_settings import WindowSettings
from podsonar.errors import InputError


class Step(msgspec.Struct, frozen=True):
    """A task in a group of steps."""

    name: Name
    status: str = ""


class ProbeReference(msgspec.Struct, frozen=True, rename="camel"):
    """A probe of a task."""

    probe_id: Name = msgspec.field(name="probeID")
    mode: str = ""


class Variable(msgspec.Struct, frozen=True, omit_defaults=True):
    """A setting of a fault."""

    name: Name
    value: str = ""


class Chaos(msgspec.Struct, frozen=True):
    """The fault of a task."""

    experiment: Name
    env: tuple[Variable, ...] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings that have a value."""
        return {one.name: one.value for one in self.env or () if one.value}


class Workload(msgspec.Struct, frozen=True):
    """Whom a task hits: workloads of a kind by names, by labels, or all of a namespace."""

    kind: str | None = None
    namespace: str | None = None
    names: str | None = None
    labels: str | None = None


class Selectors(msgspec.Struct, frozen=True):
    """The workloads that a task names."""

    workloads: tuple[Workload, ...] | None = None


class Targets(msgspec.Struct, frozen=True):
    """The targets of a task."""

    selectors: Selectors | None = None

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The workloads; none are no error here, since guards and the runner say what is missing."""
        return (self.selectors.workloads or ()) if self.selectors else ()


class Definition(msgspec.Struct, frozen=True):
    """What a task does to whom."""

    chaos: Chaos
    targets: Targets = Targets()


class Task(msgspec.Struct, frozen=True, rename="camel"):
    """A task."""

    name: Name
    definition: Definition
    probe_ref: tuple[ProbeReference, ...] | None = None


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """Tasks, and groups of them: a group begins when the one before has ended."""

    tasks: Annotated[tuple[Task, ...], msgspec.Meta(min_length=1, max_length=64)]
    steps: Annotated[tuple[tuple[Step, ...], ...], msgspec.Meta(min_length=1, max_length=64)]
    cleanup_policy: str = "delete"
    probes: tuple[dict[str, Any], ...] | None = None
    service_account_name: str = ""
    guards: GuardSettings | None = None
    hypothesis: dict[str, Any] | None = None
    windows: WindowSettings | None = None

    def read_claims(self) -> Hypothesis | None:
        """The experiment's hypothesis; InputError names the member that is wrong."""
        return None if self.hypothesis is None else read_hypothesis(self.hypothesis, "experiment")


class Metadata(msgspec.Struct, frozen=True):
    """Name and namespace."""

    name: Name
    namespace: Name


class Manifest(msgspec.Struct, frozen=True):
    """A `KubernetesChaosExperiment`."""

    kind: str
    metadata: Metadata
    spec: Spec

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks by name."""
        return {task.name: task for task in self.spec.tasks}

    def key_of(self, step: str) -> str:
        """The key of a step's node."""
        return f"{self.metadata.name}-{step}"


def read_manifest(document: object) -> Manifest:
    """The manifest of a parsed document; InputError names the member and what was expected."""
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise InputError(f"experiment: {error}") from error
    if manifest.kind != "KubernetesChaosExperiment":
        raise InputError(f"experiment: kind is {manifest.kind!r}: expected KubernetesChaosExperiment")
    names = [step.name for group in manifest.spec.steps for step in group]
    if sorted(names) != sorted(manifest.tasks) or len(names) != len(manifest.spec.tasks):
        raise InputError("experiment: spec.steps and spec.tasks differ: expected each task in one group of steps")
    check_probes(document)
    manifest.spec.read_claims()
    return manifest


def check_probes(document: Any) -> None:  # noqa: ANN401 - JSON of a manifest
    """InputError unless the probes that the experiment defines can run."""
    try:
        for task in document["spec"]["tasks"]:
            for probe in probes_of(document["spec"], task).probes:
                if probe.edge is not None:
                    hypothesis_of(probe.edge)
    except ActionError as error:
        raise InputError(f"experiment: {error}") from error


def probe_seconds(document: Any, name: str) -> int:  # noqa: ANN401 - JSON of a manifest
    """The most that the probes of a task may take before and after its fault, in whole seconds."""
    task = next(one for one in document["spec"]["tasks"] if one["name"] == name)
    found = probes_of(document["spec"], task).probes
    return math.ceil(sum(one.properties.longest_seconds() * 2 for one in found))


def without_empty_values(document: Any) -> Any:  # noqa: ANN401 - JSON
    """A manifest in which a variable without a value has no member `value`, as runs show it."""
    if isinstance(document, Mapping):
        return {
            key: [shorten(one) for one in value]
            if key == "env" and isinstance(value, list)
            else without_empty_values(value)
            for key, value in document.items()
        }
    if isinstance(document, list):
        return [without_empty_values(one) for one in document]
    return document


def shorten(variable: Any) -> Any:  # noqa: ANN401 - JSON
    """A variable without an empty value."""
    if isinstance(variable, Mapping) and variable.get("value") == "":
        return {key: value for key, value in variable.items() if key != "value"}
    return variable


def first_execution(manifest: Manifest, now_seconds: int) -> Execution:
    """The state of a run before anything began: every step Pending; each of a group has the next group as children."""
    now = str(now_seconds)
    groups = [[manifest.key_of(step.name) for step in group] for group in manifest.spec.steps]
    nodes = {
        manifest.metadata.name: Node(manifest.metadata.name, "Queued", "", "", "", children_at(groups, 0), "Steps"),
    }
    for place, group in enumerate(manifest.spec.steps):
        for step in group:
            fault = manifest.tasks[step.name].definition.chaos.experiment
            data = ChaosData(manifest.metadata.namespace, fault, "Pending", now, "", "", "", "", "", "", None)
            nodes[manifest.key_of(step.name)] = Node(
                step.name, "Pending", "", "", "", children_at(groups, place + 1), "K8sTask", data
            )
    return Execution(
        workflow_type="events",
        event_type="CREATE",
        namespace=manifest.metadata.namespace,
        name=manifest.metadata.name,
        creation_timestamp=now,
        phase="Queued",
        message="",
        started_at="",
        finished_at="",
        nodes=dict(sorted(nodes.items())),
        executed_by="",
    )


def children_at(groups: Sequence[Sequence[str]], place: int) -> tuple[str, ...] | None:
    """The keys of a group; None after the last one."""
    return tuple(groups[place]) if place < len(groups) else None
