"""One task through all stages: check → dry run → apply → wait → report, or delete → report."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from cluster_api.objects import Object, Objects
from cluster_api.resources import ObjectName
from delegate.report import Reporter, sentences
from delegate.stages.apply import apply_all
from delegate.stages.check import check
from delegate.stages.dry_run import COMPARED, differences, in_order, is_managed, look_up, refusals, state_of
from delegate.stages.injectors import injector_refusals, remove_run
from delegate.stages.remove import remove_all
from delegate.stages.runner_directory import missing_token
from delegate.stages.wait import agent_pods, wait_until_available
from delegate.task import ObjectReport, OwnedObject, Status
from podsonar.settings import DelegateRules

REMOVE_SECONDS = 300.0


def run_task(objects: Objects, rules: DelegateRules, reporter: Reporter) -> Status | None:
    """Work on the reporter's task; the status that the manager accepted, None where the task was lost."""
    with reporter.working():
        if reporter.task.kind == "delete":
            return delete(objects, rules, reporter)
        return apply(objects, rules, reporter)


def end(reporter: Reporter, status: Status, message: str = "") -> Status | None:
    """Report the end of a task."""
    return status if reporter.confirm(status, message) else None


def failed(reporter: Reporter, found: Sequence[ObjectReport], status: Status = "FAILED") -> Status | None:
    """Report the end of a task with the reasons of its objects."""
    for one in found:
        reporter.note(one)
    return end(reporter, status, sentences(found))


class Plan(NamedTuple):
    """A list that passed the checks: manifests in order, those to be applied, and what is there now."""

    bodies: list[Object]
    applied: list[Object]
    before: dict[ObjectName, Object | None]

    @property
    def missing_namespaces(self) -> list[Object]:
        """The namespaces that the list itself creates."""
        return [
            body for body in self.applied if body["kind"] == "Namespace" and self.before[ObjectName.of(body)] is None
        ]


class NotAppliedError(Exception):
    """A list may not or cannot be applied; nothing was."""

    def __init__(self, status: Status, found: Sequence[ObjectReport]) -> None:
        super().__init__(status)
        self.status: Status = status
        self.found = found


def plan(objects: Objects, rules: DelegateRules, reporter: Reporter) -> Plan:
    """Check a list against our settings, our rights and what is there; NotAppliedError with every reason."""
    task = reporter.task
    if found := check(task.manifests, rules):
        raise NotAppliedError("REFUSED", found)
    bodies = in_order(task.manifests)
    names = [ObjectName.of(body) for body in bodies]
    compared = tuple(COMPARED) if rules.rbac == "preinstalled" else ()
    before, missing = look_up(objects, names, compared)
    if missing := missing or tokenless(objects, rules, bodies, before):
        raise NotAppliedError("FAILED", missing)
    for name in names:
        reporter.note(state_of(name, before[name], task.field_manager))
    found = [
        ObjectReport.of(ObjectName.of(body), "refused", message=difference)
        for body in bodies
        if body["kind"] in compared
        for difference in differences(body, before[ObjectName.of(body)])
    ]
    if found:
        raise NotAppliedError("REFUSED", found)
    return Plan(bodies, [body for body in bodies if body["kind"] not in compared], before)


def tokenless(
    objects: Objects, rules: DelegateRules, bodies: Sequence[Object], before: Mapping[ObjectName, Object | None]
) -> list[ObjectReport]:
    """A failure per Deployment whose pod would not start for want of the agents' token; one that is there runs on."""
    new = [body for body in bodies if body["kind"] == "Deployment" and before[ObjectName.of(body)] is None]
    found = [(ObjectName.of(body), missing_token(objects, body, rules.directory)) for body in new]
    return [ObjectReport.of(name, "failed", message=reason) for name, reason in found if reason]


def apply(objects: Objects, rules: DelegateRules, reporter: Reporter) -> Status | None:
    """Apply a list: all of it, or as it was before."""
    task = reporter.task
    try:
        planned = plan(objects, rules, reporter)
    except NotAppliedError as error:
        return failed(reporter, error.found, error.status)
    reporter.lines.write(f"checked; to be created: {sum(found is None for found in planned.before.values())}")
    # Before anything is created the manager knows what was not there: a delegate that dies now leaves no stray object.
    if not reporter.confirm("RUNNING"):
        return None
    first = planned.missing_namespaces
    rest = [body for body in planned.applied if body not in first]
    applying = partial(
        apply_all,
        objects,
        before=planned.before,
        manager=task.field_manager,
        force=task.force,
        on_applied=reporter.note,
    )
    if not applying(first):
        return roll_back(objects, reporter, [])
    if found := refusals(objects, planned.applied, planned.before, task.field_manager, force=task.force):
        return roll_back(objects, reporter, found)
    if not applying(rest):
        return roll_back(objects, reporter, [])
    return wait(objects, reporter, [ObjectName.of(body) for body in planned.bodies])


def wait(objects: Objects, reporter: Reporter, names: Sequence[ObjectName]) -> Status | None:
    """Wait for what was applied, unless the task waits for nothing, and report the end."""
    if not reporter.task.wait.seconds:
        return end(reporter, "SUCCESS")
    reporter.lines.write("applied; waiting for workloads")
    late = wait_until_available(objects, names, reporter.task.wait.seconds, reporter.stopped)
    if reporter.lost.is_set() or reporter.stop.is_set():
        return None
    status: Status = "FAILED" if late else "SUCCESS"
    message = "; ".join(f"{name}: {reason}" for name, reason in late.items())
    return status if reporter.confirm(status, message, agent_pods(objects, names)) else None


def roll_back(objects: Objects, reporter: Reporter, found: Sequence[ObjectReport]) -> Status | None:
    """Take away what this attempt created, and report why."""
    reasons = [*found, *(one for one in reporter.objects.values() if one.result == "failed")]
    created = [
        OwnedObject(api_version=one.api_version, kind=one.kind, namespace=one.namespace, name=one.name, uid=one.uid)
        for one in reporter.objects.values()
        if one.result == "created"
    ]
    remove_all(objects, created, REMOVE_SECONDS, reporter.stopped, reporter.note)
    return failed(reporter, reasons)


def delete(objects: Objects, rules: DelegateRules, reporter: Reporter) -> Status | None:
    """Delete what the task names, in the delegate's namespaces alone; of a run its injectors, too."""
    owned = reporter.task.objects
    foreign = [one for one in owned if one.namespace and one.namespace not in rules.namespaces]
    if foreign:
        reasons = [ObjectReport.of(one.identity, "refused", message="another namespace") for one in foreign]
        return failed(reporter, reasons, "REFUSED")
    owned = [with_uid(objects, one, reporter.task.field_manager) for one in owned]
    run, gone = reporter.task.injectors, False
    if run is None:
        complete = remove_all(objects, owned, REMOVE_SECONDS, reporter.stopped, reporter.note)
    elif refused := injector_refusals(run, rules):
        return failed(reporter, refused, "REFUSED")
    else:
        complete, gone = remove_run(objects, run, owned, REMOVE_SECONDS, reporter.stopped, reporter.note)
    if reporter.lost.is_set() or reporter.stop.is_set():
        return None
    reporter.injectors_gone = gone
    if complete:
        return end(reporter, "SUCCESS")
    return failed(reporter, [one for one in reporter.objects.values() if one.result == "failed"])


def with_uid(objects: Objects, owned: OwnedObject, manager: str) -> OwnedObject:
    """The object with the uid that it has now, if its creation was not reported and it was applied by this manager.

    Without a uid nothing is deleted: what is there under the name is somebody else's.
    """
    found = None if owned.uid else objects.get(owned.identity)
    if found is None or not is_managed(found, manager):
        return owned
    return msgspec.structs.replace(owned, uid=found["metadata"]["uid"])


def cluster_uid(objects: Objects) -> str:
    """The uid of the namespace kube-system, by which clusters are told apart."""
    found = objects.get(ObjectName("v1", "Namespace", "", "kube-system"))
    return str(found["metadata"]["uid"]) if found else ""
