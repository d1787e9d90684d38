"""The first stage: a list of manifests against the delegate's own settings. Pure; nothing is sent.

A delegate executes what it is told; what a manager in the wrong hands could ask for ends here.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from cluster_api.resources import BY_KIND, ObjectName
from delegate.stages.pod_rules import dicts, mapping, pod_refusals
from delegate.stages.runner_directory import directory_refusals, without_directory
from delegate.stages.runner_rules import allowed_verbs, env_from_refusals, is_runner, without_env_from
from delegate.task import ObjectReport
from podsonar.settings import DelegateRules

MOST_OBJECTS = 200
MOST_BYTES = 4 << 20
WORKLOADS = ("Deployment", "DaemonSet")
NAME_LABEL = "app.kubernetes.io/name"
METADATA = {"name", "namespace", "labels", "annotations"}
# A role may give no more than to look at what runs, and to read and delete pods and change workloads of a namespace.
READ_VERBS = {"get", "list", "watch"}
UNREADABLE = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "nodes/proxy"}


def check(manifests: Sequence[dict[str, Any]], rules: DelegateRules) -> list[ObjectReport]:
    """A refusal per reason; empty for a list that may be applied."""
    whole = ObjectName("", "List", "", "")
    if len(manifests) > MOST_OBJECTS:
        return [refusal(whole, f"{len(manifests)} objects, expected at most {MOST_OBJECTS}")]
    if (size := len(orjson.dumps(manifests))) > MOST_BYTES:
        return [refusal(whole, f"{size} bytes, expected at most {MOST_BYTES}")]
    if not manifests:
        return [refusal(whole, "no object")]
    names = [ObjectName.of(body) for body in manifests]
    twice = {name for name in names if names.count(name) > 1}
    found = [refusal(name, "more than once in the list") for name in sorted(twice)]
    runner = is_runner(manifests)
    if runner and not rules.runners:
        deployment = next(name for name in names if name.kind == "Deployment")
        found.append(refusal(deployment, "a runner of experiments, and delegate.runners is false"))
        runner = False
    for name, body in zip(names, manifests, strict=True):
        found += [refusal(name, reason) for reason in object_refusals(name, body, rules, set(names), runner=runner)]
    return found


def refusal(name: ObjectName, message: str) -> ObjectReport:
    """A report that an object is refused."""
    return ObjectReport.of(name, "refused", message=message)


def object_refusals(
    name: ObjectName, body: Mapping[str, Any], rules: DelegateRules, others: set[ObjectName], *, runner: bool
) -> Iterator[str]:
    """Why one object may not be applied; `runner`: as a part of a runner's list."""
    resource = BY_KIND.get((name.api_version, name.kind))
    if resource is None:
        kinds = ", ".join(row.kind for row in BY_KIND.values())
        yield f"kind {name.kind!r} of {name.api_version!r}, expected one of {kinds}"
        return
    yield from metadata_refusals(name, body, rules)
    secrets = {other.name for other in others if other.kind == "Secret"}
    if runner:
        secrets.add(name.name)  # its own, which is not in the list of an abort after the delegate's token was rotated
    else:
        secrets |= {secret for secret in secrets_of(body) if secret.startswith(tuple(rules.name_prefixes))}
    if name.kind in WORKLOADS:
        template = mapping(mapping(mapping(body.get("spec")).get("template")).get("spec"))
        if runner:
            yield from env_from_refusals(
                template, {other.name for other in others if other.kind == "ConfigMap"}, secrets
            )
            yield from directory_refusals(template, rules.directory)
            template = without_directory(without_env_from(template), rules.directory)
        yield from pod_refusals(template, rules.image_prefixes, secrets, on_every_node=name.kind == "DaemonSet")
        yield from account_refusals(template, rules, others)
    elif name.kind == "Pod":
        yield from pod_refusals(mapping(body.get("spec")), rules.image_prefixes, secrets, on_every_node=False)
        yield from account_refusals(mapping(body.get("spec")), rules, others)
    elif name.kind.endswith("Binding"):
        yield from binding_refusals(body, rules, others)
    elif name.kind.endswith("Role"):
        yield from role_refusals(body, runner=runner and name.kind == "Role")
    elif name.kind == "NetworkPolicy":
        yield from policy_refusals(mapping(body.get("spec")), rules)
    elif name.kind == "Service":
        yield from service_refusals(mapping(body.get("spec")))


def metadata_refusals(name: ObjectName, body: Mapping[str, Any], rules: DelegateRules) -> Iterator[str]:
    """Why an object of any kind may not be applied."""
    yield from (f"metadata.{field}" for field in sorted(set(mapping(body.get("metadata"))) - METADATA))
    if "status" in body:
        yield "a status"
    yield from place_refusals(name, rules)


def place_refusals(name: ObjectName, rules: DelegateRules) -> Iterator[str]:
    """Why an object may not be there, or not have this name."""
    if name.kind == "Namespace":
        if name.name not in rules.namespaces:
            yield f"namespace {name.name!r}, expected one of {', '.join(rules.namespaces)}"
        return
    prefixes = tuple(rules.name_prefixes)
    if name.resource.namespaced:
        if name.namespace not in rules.namespaces:
            yield f"namespace {name.namespace!r}, expected one of {', '.join(rules.namespaces)}"
    else:
        prefixes = tuple(f"{namespace}-{prefix}" for namespace in rules.namespaces for prefix in rules.name_prefixes)
    if not name.name.startswith(prefixes):
        yield f"name {name.name!r}, expected one that begins with {' or '.join(prefixes)}"


def account_refusals(spec: Mapping[str, Any], rules: DelegateRules, others: set[ObjectName]) -> Iterator[str]:
    """Why a pod may not run as its service account."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    known = {other.name for other in others if other.kind == "ServiceAccount"} | set(rules.service_accounts)
    if spec.get("automountServiceAccountToken") is not False and account not in known:
        yield f"service account {account!r}, expected one of the list or of delegate.serviceAccounts"


def role_refusals(body: Mapping[str, Any], *, runner: bool) -> Iterator[str]:
    """Why a role gives too much; `runner`: it is a runner's, in one namespace."""
    if "aggregationRule" in body:
        yield "an aggregation rule"
    for rule in dicts(body.get("rules")):
        verbs, resources = set(rule.get("verbs") or []), set(rule.get("resources") or [])
        if set(rule) - {"apiGroups", "resources", "verbs", "resourceNames"}:
            yield "a rule for URLs"
        if "*" in verbs | resources | set(rule.get("apiGroups") or []):
            yield "a rule with *"
        if more := verbs - READ_VERBS - (allowed_verbs(rule) if runner else set()):
            yield f"a rule with {', '.join(sorted(more))}, expected get, list or watch"
        if more := resources & UNREADABLE:
            yield f"a rule for {', '.join(sorted(more))}"


def binding_refusals(body: Mapping[str, Any], rules: DelegateRules, others: set[ObjectName]) -> Iterator[str]:
    """Why a binding gives a role that is not of the list, or gives it to somebody else."""
    role = mapping(body.get("roleRef"))
    if (role.get("kind"), role.get("name")) not in {(other.kind, other.name) for other in others}:
        yield f"binds {role.get('kind')} {role.get('name')!r}, expected a role of the list"
    accounts = {(other.namespace, other.name) for other in others if other.kind == "ServiceAccount"}
    accounts |= {(namespace, name) for namespace in rules.namespaces for name in rules.service_accounts}
    for subject in dicts(body.get("subjects")):
        if subject.get("kind") != "ServiceAccount" or (subject.get("namespace"), subject.get("name")) not in accounts:
            yield f"binds to {subject.get('kind')} {subject.get('name')!r}, expected a service account of the list"


def policy_refusals(spec: Mapping[str, Any], rules: DelegateRules) -> Iterator[str]:
    """Why a NetworkPolicy could cut off or open pods of others."""
    label = mapping(mapping(spec.get("podSelector")).get("matchLabels")).get(NAME_LABEL)
    if not str(label or "").startswith(tuple(rules.name_prefixes)):
        yield f"a pod selector with {NAME_LABEL} {label!r}, expected one of {', '.join(rules.name_prefixes)}"


def service_refusals(spec: Mapping[str, Any]) -> Iterator[str]:
    """Why a Service reaches beyond the cluster."""
    if spec.get("type", "ClusterIP") != "ClusterIP":
        yield f"a Service of type {spec['type']}, expected ClusterIP"
    if spec.get("externalIPs"):
        yield "external addresses"


def secrets_of(body: Mapping[str, Any]) -> Iterator[str]:
    """The Secrets that a workload mounts."""
    template = mapping(mapping(mapping(body.get("spec")).get("template")).get("spec"))
    for volume in dicts(template.get("volumes")):
        if isinstance(name := mapping(volume.get("secret")).get("secretName"), str):
            yield name
