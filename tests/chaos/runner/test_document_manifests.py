"""The document's own list of manifests of a runner on a real API server: unchanged, twice, and as an abort."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from chaos.runner.environment import read_environment
from cluster_api.client import ApiClient
from cluster_api.objects import Objects
from cluster_api.resources import BY_KIND, ObjectName
from lab.controlplane.server import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.long]

FILE = Path(__file__).parents[1] / "control" / "experiments" / "samples" / "runner.yaml"
MANAGER = "podsonar-delegate"


def document_manifests() -> list[dict[str, Any]]:
    """The ten objects."""
    return list(yaml.safe_load_all(FILE.read_text()))


def versions(objects: Objects, bodies: list[dict[str, Any]]) -> dict[str, tuple[bool, str]]:
    """Whether each was created by an apply, and its resourceVersion then."""
    applied = {body["kind"]: objects.apply(body, MANAGER) for body in bodies}
    return {kind: (one.created, one.body["metadata"]["resourceVersion"]) for kind, one in applied.items()}


def test_list_applies_unchanged_and_an_abort_changes_the_config_map_alone(plane: ControlPlane) -> None:
    """10 created; again, none changed; with the annotations of an abort, one changed."""
    objects = Objects(ApiClient.connect(plane.admin_kubeconfig))
    bodies = document_manifests()
    assert all((body["apiVersion"], body["kind"]) in BY_KIND for body in bodies)
    first = versions(objects, bodies)
    assert [created for created, _version in first.values()] == [True] * 10
    again = versions(objects, bodies)
    assert again == {kind: (False, version) for kind, (_created, version) in first.items()}
    (config_map,) = [body for body in bodies if body["kind"] == "ConfigMap"]
    config_map["metadata"]["annotations"] = {"podsonar.io/action": "abort", "podsonar.io/abort-runs": "r-1"}
    aborted = versions(objects, bodies)
    assert {kind for kind in aborted if aborted[kind] != again[kind]} == {"ConfigMap"}
    stored = objects.get(ObjectName.of(config_map))
    assert stored is not None
    assert stored["metadata"]["managedFields"][0]["manager"] == MANAGER


def test_runner_reads_its_settings_from_exactly_these_names() -> None:
    """ConfigMap, Secret and the one variable of the Deployment are all that a runner needs."""
    by_kind = {body["kind"]: body for body in document_manifests()}
    variables = by_kind["ConfigMap"]["data"] | by_kind["Secret"]["stringData"] | {"CHAOS_NAMESPACE": "hce"}
    found = read_environment(variables)
    assert (found.infra_id, found.name, found.namespace) == ("test3", "ddci-preview", "hce")
    assert (found.report_url, found.report_port) == ("http://ddci-preview.hce:8000", 8000)
    assert found.log_endpoint.endswith("/log-service")
