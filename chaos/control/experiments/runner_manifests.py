"""The manifests of a runner, for a delegate or `kubectl apply`: names, labels and keys of the document. Pure.

The role is made from the experiment: the rights of its faults in the targets' namespaces and nothing more.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from chaos.control.experiments.runs.manifest import Manifest, Task
from chaos.control.judge.prediction import EDGE_FAULTS
from chaos.runner.environment import ID_ANNOTATIONS
from podsonar import run_labels
from podsonar.manager_paths import KSERVER, LOG_SERVICE

Rule = tuple[str, str, tuple[str, ...]]  # API group, resource, verbs

WORKLOADS: tuple[Rule, ...] = (
    ("apps", "deployments", ("get", "list")),
    ("apps", "replicasets", ("list",)),
    ("apps", "statefulsets", ("get", "list")),
    ("apps", "daemonsets", ("get", "list")),
)
LOOK: tuple[Rule, ...] = (("", "pods", ("get", "list")), *WORKLOADS)
EDGE: tuple[Rule, ...] = (("", "services", ("get",)), ("discovery.k8s.io", "endpointslices", ("list",)))
RIGHTS: Mapping[str, tuple[Rule, ...]] = {
    "pod-delete": (("", "pods", ("get", "list", "delete")), *WORKLOADS),
    "container-kill": LOOK,
    "pod-cpu-hog": LOOK,
    "pod-memory-hog": LOOK,
    "pod-network-loss": LOOK,
    "pod-network-latency": LOOK,
    "pod-network-partition": LOOK,
    "pod-connect-refused": LOOK,
    "pod-dns-error": LOOK,
    "edge-loss": LOOK,
    "edge-latency": LOOK,
    "edge-partition": LOOK,
}
BUDGETS: Rule = ("policy", "poddisruptionbudgets", ("list",))
INJECTOR_RIGHTS: Rule = ("", "pods", ("create", "get", "list", "delete"))  # in the runner's own namespace
OWN_RIGHTS: tuple[Rule, ...] = (("", "configmaps", ("get",)), ("apps", "deployments", ("get", "delete")))


TENANT_OF_RUNNER = ("account", "project", "environment")  # without which a runner does not start
REPORT_PORT = 8000  # where injectors report


class SecretKey(NamedTuple):
    """A member of a Secret that is there already, in the runner's namespace."""

    name: str
    key: str


class RunnerPlace(NamedTuple):
    """Where a runner runs and whom it reports to; keys and tokens are secret.

    `manager` is its URL as the runner's pod reaches it, without a path; `authority` is the PEM that verifies it,
    empty for those of the image; `directory` is the collector where it orders windows, with the agents' token itself
    or the Secret that has it.
    """

    name: str
    namespace: str
    image: str
    infra_id: str
    manager: str
    account: str
    organization: str
    project: str
    environment: str
    access_key: str
    log_token: str
    directory: str = ""
    directory_token: str = ""
    authority: str = ""
    pull_secrets: tuple[str, ...] = ()
    directory_secret: SecretKey | None = None


def collector_image(registry: str, tag: str = "") -> str:
    """The collector's image, in which a runner and its injectors are; without a tag that of this version."""
    return f"{registry}/podsonar-collector:{tag or version('podsonar').partition('+')[0]}".lstrip("/")


def runner_name(run_id: str) -> str:
    """The name of every object of a run's runner."""
    return f"podsonar-run-{run_id[:8]}"


class RunIds(NamedTuple):
    """The ids that the runner reads from its ConfigMap's annotations."""

    experiment_id: str
    run_id: str
    notify_id: str

    def annotations(self) -> dict[str, str]:
        """The annotations."""
        return dict(zip(ID_ANNOTATIONS, self, strict=True))


def runner_manifests(place: RunnerPlace, ids: RunIds, manifest: Manifest) -> list[dict[str, Any]]:
    """Every object of a runner, in the order in which they are applied."""
    metadata = {"name": place.name, "namespace": place.namespace, "labels": labels_of(place)}
    roles = [
        one
        for namespace, rules in sorted(rights_of(manifest, place).items())
        for one in role_manifests(place, namespace, rules)
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": secret_of(place)},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata | {"annotations": ids.annotations()},
            "data": settings_of(place),
        },
        *roles,
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service_spec(place)},
        deployment_manifest(place, metadata),
    ]


def labels_of(place: RunnerPlace) -> dict[str, str]:
    """The labels of every object of a runner."""
    return dict(zip(run_labels.OF_RUNNERS, (place.name, place.namespace), strict=True))


def secret_of(place: RunnerPlace) -> dict[str, str]:
    """The Secret's members."""
    return {
        "ACCOUNT_ID": place.account,
        "LOG_SERVICE_URL": f"{place.manager}{LOG_SERVICE}",
        "SKIP_SECURE_VERIFY": "false",
        "ACCESS_KEY": place.access_key,
        "LOG_SERVICE_TOKEN": place.log_token,
        **({"PODSONAR_DIRECTORY_TOKEN": place.directory_token} if place.directory_token else {}),
    }


def settings_of(place: RunnerPlace) -> dict[str, str]:
    """The ConfigMap's members."""
    return {
        "INSECURE_SKIP_VERIFY": "false",
        "ORG_ID": place.organization,
        "PROJECT_ID": place.project,
        "ENVIRONMENT_ID": place.environment,
        "DDCR_ENDPOINT": f"http://{place.name}.{place.namespace}:{REPORT_PORT}",
        "CORRELATION_ID": place.name,
        "KUBERNETES_INFRA_SERVICE_ENDPOINT": f"{place.manager}{KSERVER}",
        "INFRA_ID": place.infra_id,
        "LOG_SERVICE_ENDPOINT": f"{place.manager}{LOG_SERVICE}",
        "LOG_SERVICE_ENABLED": "true",
        **({"PODSONAR_DIRECTORY_URL": place.directory} if place.directory and not place.directory_secret else {}),
        **({"PODSONAR_MANAGER_CA": place.authority} if place.authority else {}),
    }


def service_spec(place: RunnerPlace) -> dict[str, Any]:
    """The Service by which injectors reach the runner."""
    port = {"name": "http", "port": REPORT_PORT, "targetPort": "http", "protocol": "TCP"}
    return {"type": "ClusterIP", "ports": [port], "selector": labels_of(place)}


def rights_of(manifest: Manifest, place: RunnerPlace) -> dict[str, set[Rule]]:
    """Rules by namespace."""
    found: dict[str, set[Rule]] = {place.namespace: set(OWN_RIGHTS)}
    for task in manifest.spec.tasks:
        for workload in task.definition.targets.workloads:
            namespace = workload.namespace or ""
            found.setdefault(namespace, set()).update(RIGHTS.get(task.definition.chaos.experiment, ()))
            if manifest.spec.guards is not None:
                found[namespace].add(BUDGETS)
        chaos = task.definition.chaos
        if chaos.experiment in RIGHTS and chaos.experiment != "pod-delete":
            found[place.namespace].add(INJECTOR_RIGHTS)
        for namespace, rule in probe_rights(manifest, task):
            found.setdefault(namespace, set()).add(rule)
        other_end, slash, _name = chaos.settings.get("DESTINATION_SERVICE", "").partition("/")
        if chaos.experiment in EDGE_FAULTS and slash:
            found.setdefault(other_end, set()).update(EDGE)
    return found


def probe_rights(manifest: Manifest, task: Task) -> Iterator[tuple[str, Rule]]:
    """Namespace and rule of each k8sProbe of a task; one of the whole cluster needs a role that an operator makes."""
    referred = {one.probe_id for one in task.probe_ref or ()}
    for one in manifest.spec.probes or ():
        if str(one.get("name")) not in referred:
            continue  # nothing says that it is a probe at all
        inputs = one.get("k8sProbe/inputs") or {}
        if inputs.get("namespace"):
            yield str(inputs["namespace"]), (str(inputs.get("group", "")), str(inputs["resource"]), ("list",))


def role_manifests(place: RunnerPlace, namespace: str, rules: set[Rule]) -> Sequence[dict[str, Any]]:
    """A Role in a namespace and its binding to the runner's account."""
    metadata = {"name": place.name, "namespace": namespace, "labels": labels_of(place)}
    group = "rbac.authorization.k8s.io"
    return (
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [
                {"apiGroups": [api_group], "resources": [resource], "verbs": list(verbs)}
                for api_group, resource, verbs in sorted(rules)
            ],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": place.name},
            "subjects": [{"kind": "ServiceAccount", "name": place.name, "namespace": place.namespace}],
        },
    )


def directory_variables(place: RunnerPlace) -> list[dict[str, Any]]:
    """The collector and a Secret's token side by side, so that who allows the one sees where it is sent."""
    if place.directory_secret is None:
        return []
    return [
        {"name": "PODSONAR_DIRECTORY_URL", "value": place.directory},
        {
            "name": "PODSONAR_DIRECTORY_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": place.directory_secret.name, "key": place.directory_secret.key}},
        },
    ]


def deployment_manifest(place: RunnerPlace, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The runner's Deployment: no privilege, a read-only root, one run."""
    labels = labels_of(place)
    container = {
        "name": "runner",
        "image": place.image,
        "args": ["runner", "run"],
        "env": [
            {"name": "CHAOS_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            *directory_variables(place),
        ],
        "envFrom": [{"configMapRef": {"name": place.name}}, {"secretRef": {"name": place.name}}],
        "ports": [{"name": "http", "containerPort": REPORT_PORT, "protocol": "TCP"}],
        "securityContext": {
            "runAsUser": 2000,
            "runAsGroup": 2000,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"limits": {"cpu": "1", "memory": "256Mi"}, "requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": dict(metadata),
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": place.name,
                    "securityContext": {"runAsNonRoot": True},
                    "terminationGracePeriodSeconds": 10,
                    **(
                        {"imagePullSecrets": [{"name": one} for one in place.pull_secrets]}
                        if place.pull_secrets
                        else {}
                    ),
                    "containers": [container],
                },
            },
        },
    }
