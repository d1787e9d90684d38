"""How the pods start, are judged, are replaced and end; where they run."""

from typing import Any

import pytest

from tests.deploy.conftest import Chart, Object, only, pod

WORKLOADS = [("Deployment", "-collector"), ("Deployment", "-manager"), ("DaemonSet", "-node-agent")]


def seconds(probe: Object) -> int:
    """How long a probe may fail before something happens."""
    found: int = probe["periodSeconds"] * probe["failureThreshold"]
    return found


@pytest.mark.parametrize(("kind", "ending"), WORKLOADS)
def test_liveness_asks_for_the_process_alone_and_readiness_for_its_work(
    objects: list[Object], kind: str, ending: str
) -> None:
    """A manager or API server out of reach restarts nothing: liveness checks the process, readiness its work."""
    (container,) = pod(only(objects, kind, ending))["containers"]
    alive, ready = container["livenessProbe"]["httpGet"], container["readinessProbe"]["httpGet"]
    assert alive["path"] in ("/livez", "/healthz")
    assert ready["path"] == "/readyz"
    assert container["startupProbe"]["httpGet"] == alive
    assert alive["port"] in {port["name"] for port in container["ports"]}


def test_agent_has_two_minutes_to_compile_and_no_cpu_limit(objects: list[Object]) -> None:
    """A throttled compiler causes no restart loop (row 35); the memory limit leaves room for it (row 36)."""
    (container,) = pod(only(objects, "DaemonSet"))["containers"]
    assert seconds(container["startupProbe"]) >= 120
    assert container["resources"]["limits"] == {"memory": "512Mi", "ephemeral-storage": "1Gi"}


@pytest.mark.parametrize(("kind", "ending"), WORKLOADS)
def test_pods_have_time_to_flush_and_resource_requests(objects: list[Object], kind: str, ending: str) -> None:
    """30 seconds to end; requests are set, and no variable of another service is injected."""
    spec = pod(only(objects, kind, ending))
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["enableServiceLinks"] is False
    assert set(spec["containers"][0]["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}
    assert set(spec["containers"][0]["resources"]["limits"]) == {"memory", "ephemeral-storage"}


def test_database_without_a_volume_has_its_size_as_the_pods_limit(chart: Chart) -> None:
    """An emptyDir counts as ephemeral storage: with the usual limit the pod would be evicted long before it is full."""
    values = "manager.persistence.enabled=false,manager.persistence.size=3Gi"
    spec = pod(only(chart.template("--set", values), "Deployment", "-manager"))
    assert {"name": "database", "emptyDir": {"sizeLimit": "3Gi"}} in spec["volumes"]
    # Every user may write to the emptyDir itself.
    assert {"name": "PODSONAR_DATABASE", "value": "sqlite:////var/lib/podsonar/own/podsonar.db"} in spec["containers"][
        0
    ]["env"]
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "1Gi", "ephemeral-storage": "3Gi"}


@pytest.mark.parametrize(("kind", "ending"), WORKLOADS)
def test_busy_second_restarts_nothing(objects: list[Object], kind: str, ending: str) -> None:
    """Liveness waits ten seconds for an answer and two minutes for one of six, on a port that no client uses."""
    (container,) = pod(only(objects, kind, ending))["containers"]
    assert container["livenessProbe"]["timeoutSeconds"] >= 10
    assert seconds(container["livenessProbe"]) >= 120
    assert container["livenessProbe"]["httpGet"]["port"] == "metrics"


def test_what_may_exist_once_is_recreated_and_agents_roll_one_by_one(chart: Chart, objects: list[Object]) -> None:
    """Two collectors or two writers of a SQLite file never overlap; PostgreSQL lets managers roll."""
    assert only(objects, "Deployment", "-collector")["spec"]["strategy"] == {"type": "Recreate"}
    assert only(objects, "Deployment", "-manager")["spec"]["strategy"] == {"type": "Recreate"}
    assert only(objects, "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": 1}
    assert not [one for one in objects if one["kind"] == "PodDisruptionBudget"]
    two = chart.template("-f", str(chart.folder / "ci/postgresql-values.yaml"))
    assert only(two, "Deployment", "-manager")["spec"]["strategy"] == {"type": "RollingUpdate"}
    assert only(two, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def required(spec: Object) -> list[Any]:
    """The node labels that a pod requires."""
    affinity = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    return [(one["key"], one["operator"], one["values"]) for one in term["matchExpressions"]]


def test_agent_runs_on_every_linux_node_with_a_kernel_of_its_own(chart: Chart, objects: list[Object]) -> None:
    """Tainted or not, but not on Windows, Fargate or virtual nodes (row 41); the selector narrows it."""
    spec = pod(only(objects, "DaemonSet"))
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert required(spec) == [
        ("eks.amazonaws.com/compute-type", "NotIn", ["fargate"]),
        ("type", "NotIn", ["virtual-kubelet"]),
    ]
    narrowed = pod(only(chart.template("--set", r"data.nodeAgentSelector=pool=apps\,zone==b"), "DaemonSet"))
    assert narrowed["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "apps", "zone": "b"}
    assert not [one for one in chart.template("--set", "data.enableNodeAgent=false") if one["kind"] == "DaemonSet"]


def test_agent_gets_its_node_name_from_the_downward_api(objects: list[Object]) -> None:
    """NODE_NAME is spec.nodeName (row 40), and its own pod is metadata.uid, which its cgroup namespace may hide."""
    (container,) = pod(only(objects, "DaemonSet"))["containers"]
    assert container["env"] == [
        {"name": "PODSONAR_CONFIG", "value": "/etc/podsonar/config/config.yaml"},  # for commands by kubectl exec
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "PODSONAR_NODE_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ]


def test_image_names_follow_registry_tag_and_digest(chart: Chart) -> None:
    """A digest wins over the tag; the default registry is one that nothing is pulled from."""

    def images(*arguments: str) -> set[str]:
        found = chart.template(*arguments)
        return {pod(only(found, kind, ending))["containers"][0]["image"] for kind, ending in WORKLOADS}

    assert images() == {f"localhost/podsonar-{part}:0.1.0" for part in ("collector", "manager", "node-agent")}
    digest = f"sha256:{'0' * 64}"
    named = images("--set", f"image.registry=r.example/x,image.tag=v2,collector.image.digest={digest}")
    assert f"r.example/x/podsonar-collector@{digest}" in named
    assert "r.example/x/podsonar-manager:v2" in named
    assert "mine:1" in images("--set", "collectorImage=mine:1")
