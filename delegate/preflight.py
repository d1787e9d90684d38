"""Whether a delegate could work here: settings, API server, rights, manager. Nothing is changed or handed out."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from cluster_api.client import ApiClient
from cluster_api.objects import Objects, Right
from cluster_api.resources import BY_KIND, ObjectName, Resource
from delegate.app import check_rules, server_version
from delegate.poll import Manager
from delegate.run_task import cluster_uid
from delegate.stages.dry_run import COMPARED
from delegate.stages.runner_directory import has_token
from delegate.task import TaskReport
from podsonar.errors import ApiServerError, ManagerUnavailableError, SettingsError, TokenError
from podsonar.settings import DelegateRules, DelegateSettings

APPLIED = ("get", "patch", "create", "delete")
PODS = BY_KIND["v1", "Pod"]
NO_TASK = "preflight"  # no task has this id: the answer to a good token is 404
COLLECTOR = "podsonar-collector"


class CheckResult(NamedTuple):
    """One check: what was found, and what to do if it is not ok."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    todo: str = ""


def check_all(settings: DelegateSettings, api: ApiClient) -> list[CheckResult]:
    """Every check, in the order in which a delegate would fail."""
    objects = Objects(api)
    found = [rules(settings), api_server(objects)]
    if found[-1].state == "ok":
        for namespace in settings.delegate.namespaces:
            found += namespace_checks(objects, settings, namespace)
        found += directory_checks(objects, settings.delegate)
    return [*found, manager(settings)]


def rules(settings: DelegateSettings) -> CheckResult:
    """Check that something may be applied at all."""
    try:
        check_rules(settings)
    except SettingsError as error:
        return CheckResult("settings", "fail", str(error), "docs/delegate.md")
    return CheckResult("settings", "ok", f"{settings.delegate.name}: {', '.join(settings.delegate.namespaces)}")


def api_server(objects: Objects) -> CheckResult:
    """Check that the API server answers, and that the cluster's uid can be read."""
    try:
        uid, version = cluster_uid(objects), server_version(objects.api)
    except ApiServerError as error:
        return CheckResult("API server", "fail", str(error), "grant get on the namespace kube-system: delegate.rbac")
    return CheckResult("API server", "ok", f"{version}, cluster {uid}")


def namespace_checks(objects: Objects, settings: DelegateSettings, namespace: str) -> Iterator[CheckResult]:
    """Check a namespace, the rights in it, and what is compared and not applied."""
    managed = settings.delegate.rbac == "managed"
    try:
        there = objects.get(ObjectName("v1", "Namespace", "", namespace))
    except ApiServerError as error:
        yield CheckResult(f"namespace {namespace}", "fail", str(error), "grant get on it")
        return
    if there is None:
        yield CheckResult(f"namespace {namespace}", "fail", "not there", f"kubectl create namespace {namespace}")
        return
    yield CheckResult(f"namespace {namespace}", "ok", str(there["metadata"]["uid"]))
    missing = [right for right in wanted(namespace, managed=managed) if not objects.may(right)]
    name = f"rights in {namespace}"
    if missing:
        yield CheckResult(name, "fail", f"no right to {'; '.join(map(str, missing))}", "apply the chart's roles again")
    else:
        yield CheckResult(name, "ok", "all")
    if not managed:
        yield compared_role(objects, namespace)


def wanted(namespace: str, *, managed: bool) -> Iterator[Right]:
    """The rights that installing an agent needs."""
    for resource in BY_KIND.values():
        if resource.kind in ("Pod", "Namespace") or (resource.kind in COMPARED and not managed):
            continue
        place, name = (namespace, "") if resource.namespaced else ("", f"{namespace}-{COLLECTOR}")
        yield from rights_of(resource, place, name, APPLIED)
    yield Right("list", PODS, namespace)


def rights_of(resource: Resource, namespace: str, name: str, verbs: Sequence[str]) -> Iterator[Right]:
    """A right per verb; `create` is of no name."""
    for verb in verbs:
        yield Right(verb, resource, namespace, "" if verb == "create" else name)


def compared_role(objects: Objects, namespace: str) -> CheckResult:
    """Check that the chart has made the collector's role and its binding."""
    name = f"roles for {namespace}"
    group = "rbac.authorization.k8s.io/v1"
    try:
        found = [
            objects.get(ObjectName(group, kind, "", f"{namespace}-{COLLECTOR}"))
            for kind in ("ClusterRole", "ClusterRoleBinding")
        ]
    except ApiServerError as error:
        return CheckResult(name, "fail", str(error), "grant get on them: delegate.rbac")
    if None in found:
        todo = "add the namespace to delegate.namespaces of the chart, or set delegate.rbac to managed"
        return CheckResult(name, "fail", f"ClusterRole or binding {namespace}-{COLLECTOR} is not there", todo)
    return CheckResult(name, "ok", f"{namespace}-{COLLECTOR}")


def directory_checks(objects: Objects, rules: DelegateRules) -> Iterator[CheckResult]:
    """Check that runners find the agents' token in one of the namespaces at least, where they are to have it."""
    directory = rules.directory
    if not directory.url:
        return
    name, what = "agents' token", f"Secret {directory.secret} with {directory.key}"
    todo = "runs with spec.windows are refused: put the agents' token there (delegate.directory)"
    try:
        found = [
            namespace
            for namespace in rules.namespaces
            if has_token(objects, ObjectName("v1", "Secret", namespace, directory.secret), directory.key)
        ]
    except ApiServerError as error:
        yield CheckResult(name, "fail", str(error), "apply the chart's roles again")
        return
    if found:
        yield CheckResult(name, "ok", f"{what} in {', '.join(found)}")
    else:
        yield CheckResult(name, "warn", f"{what} in none of {', '.join(rules.namespaces)}", todo)


def manager(settings: DelegateSettings) -> CheckResult:
    """Check that the manager answers and takes the token."""
    try:
        asking = Manager(settings)
    except SettingsError as error:
        return CheckResult("manager", "fail", str(error))
    try:
        status = asking.report(NO_TASK, TaskReport(delegate_id="", attempt=0, status="RUNNING"))
    except (ManagerUnavailableError, TokenError) as error:
        return CheckResult("manager", "fail", str(error), "check manager.url, manager.tokenFile and the way to it")
    finally:
        asking.close()
    if status == 404:
        return CheckResult("manager", "ok", f"{asking.client.base} takes the token")
    if status == 401:
        todo = "podsonar manager token create --scope delegate"
        return CheckResult("manager", "fail", f"{asking.client.base} refuses the token", todo)
    return CheckResult(
        "manager", "fail", f"{asking.client.base} answered {status}", "expected a manager of this release"
    )
