"""A task as the manager hands it out, and what is reported of it."""

from typing import Any, Literal

import msgspec

from cluster_api.resources import ObjectName

Status = Literal["RUNNING", "SUCCESS", "FAILED", "REFUSED"]
# absent: it is to be created, and is not there yet. Sent before anything is applied, so that a delegate that dies in
# the middle leaves a record of what it was about to create.
Result = Literal["absent", "created", "configured", "unchanged", "deleted", "failed", "refused"]


class Wire(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Members of JSON in camelCase; unknown ones are ignored."""


class Await(Wire, frozen=True):
    """How long workloads may take until they are available."""

    seconds: float = 300.0


class LogKey(Wire, frozen=True):
    """The log stream of a task."""

    account: str = ""
    key: str = ""


class OwnedObject(Wire, frozen=True):
    """An object to be deleted: only if it has this uid."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""

    @property
    def identity(self) -> ObjectName:
        """Its name in the cluster."""
        return ObjectName(self.api_version, self.kind, self.namespace, self.name)


class RunInjectors(Wire, frozen=True):
    """Whose injectors are to be gone: those of a run, made by its runner in the runner's namespace."""

    namespace: str
    run_id: str = msgspec.field(name="runID")
    runner: str


class Task(Wire, frozen=True):
    """One piece of work, leased for a time that each report renews."""

    id: str
    attempt: int
    kind: Literal["apply", "delete"]
    lease_seconds: float
    field_manager: str = "podsonar-delegate"
    force: bool = False
    manifests: list[dict[str, Any]] = []
    objects: list[OwnedObject] = []
    injectors: RunInjectors | None = None
    wait: Await = msgspec.field(name="await", default=Await())
    log: LogKey = LogKey()


class Polled(Wire, frozen=True):
    """The answer to a poll."""

    delegate_id: str = msgspec.field(name="delegateID")
    tasks: list[Task] = []


class ObjectReport(Wire, frozen=True, omit_defaults=True):
    """The state of one object of a task."""

    api_version: str
    kind: str
    name: str
    result: Result
    namespace: str = ""
    uid: str = ""
    managed: bool = False  # it was applied before under the task's field manager
    message: str = ""

    @classmethod
    def of(
        cls, name: ObjectName, result: Result, *, uid: str = "", managed: bool = False, message: str = ""
    ) -> "ObjectReport":
        """A report about the object of that name."""
        return cls(
            api_version=name.api_version,
            kind=name.kind,
            namespace=name.namespace,
            name=name.name,
            result=result,
            uid=uid,
            managed=managed,
            message=message,
        )


class PodReport(Wire, frozen=True):
    """A pod of an installed program."""

    name: str
    namespace: str
    uid: str
    status: str
    node: str = ""


class AgentReport(Wire, frozen=True, omit_defaults=True):
    """The pods of an installed agent, by program."""

    cluster: PodReport | None = None
    node: list[PodReport] = []


class TaskReport(Wire, frozen=True, omit_defaults=True):
    """The body of a status report."""

    delegate_id: str = msgspec.field(name="delegateID")
    attempt: int
    status: Status
    message: str = ""
    objects: list[ObjectReport] = []
    agent_details: AgentReport | None = None
    injectors_gone: bool = False
