"""Kubernetes objects of an agent by kind, and the containers and volumes of a pod."""

from collections.abc import Iterator
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api, Handler
from manager.api.lists import correlation_of, list_response, parse_page
from manager.api.wire import api_response, record_fields
from manager.http.auth import agent_in_path
from manager.schema.document import conform
from manager.store.agents import Agent
from manager.store.batches.object_lists import ObjectFilter, ObjectRow, count_objects, find_object, iterate_objects
from manager.store.batches.object_summary import items, mapping

# Path -> Kubernetes kind.
KIND_PATHS = {
    "namespaces": "Namespace",
    "nodes": "Node",
    "services": "Service",
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
}
API_VERSIONS = {
    **dict.fromkeys(("Namespace", "Node", "Service", "Pod", "ReplicationController"), "v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
}
# List of a pod's spec -> the type of its containers, and the list of their states.
CONTAINER_LISTS = {
    "initContainers": ("initContainer", "initContainerStatuses"),
    "containers": ("container", "containerStatuses"),
    "ephemeralContainers": ("ephemeralContainer", "ephemeralContainerStatuses"),
}


def object_wire(agent: Agent, kind: str, row: ObjectRow) -> dict[str, Any]:
    """A Kubernetes object as `database.PodCollection` or that of its kind."""
    body = row.body
    metadata = body["metadata"]
    found = record_fields(agent, metadata["uid"], row.first_ns, row.updated_ns) | {
        "apiVersion": body.get("apiVersion") or API_VERSIONS.get(kind, "apps/v1"),
        "kind": body.get("kind") or kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
        "ownerReference": metadata.get("ownerReferences") or [],
        "resourceVersion": metadata.get("resourceVersion") or "",
        "creationTimestamp": metadata.get("creationTimestamp"),
        "deletionTimestamp": metadata.get("deletionTimestamp"),
        "spec": body.get("spec") or {},
        "status": body.get("status") or {},
    }
    if kind not in {"Namespace", "Node"}:
        found["namespace"] = metadata.get("namespace") or ""
    shaped: dict[str, Any] = conform(found, f"database.{kind}Collection")
    return shaped


def containers_of(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(type, container, id) of each container of a pod; the id is empty before it runs."""
    spec, status = mapping(body.get("spec")), mapping(body.get("status"))
    for name, (kind, states) in CONTAINER_LISTS.items():
        ids = {one.get("name"): one.get("containerID") for one in items(status.get(states))}
        for container in items(spec.get(name)):
            yield kind, dict(container), str(ids.get(container.get("name")) or "")


def container_wire(kind: str, container: dict[str, Any], container_id: str) -> dict[str, str]:
    """`api.Container`."""
    return {
        "id": container_id,
        "image": str(container.get("image") or ""),
        "name": str(container.get("name") or ""),
        "type": kind,
    }


def volumes_of(body: dict[str, Any]) -> Iterator[dict[str, str]]:
    """`api.ContainerVolume` of each place where a container mounts a persistent volume claim."""
    claims = {
        volume.get("name"): mapping(volume.get("persistentVolumeClaim")).get("claimName")
        for volume in items(mapping(body.get("spec")).get("volumes"))
    }
    for kind, container, _ in containers_of(body):
        for mount in items(container.get("volumeMounts")):
            claim = claims.get(mount.get("name"))
            if isinstance(claim, str) and claim:
                yield {
                    "containerName": str(container.get("name") or ""),
                    "containerType": kind,
                    "mountPath": str(mount.get("mountPath") or ""),
                    "pvcName": claim,
                    "pvcNamespace": str(body["metadata"].get("namespace") or ""),
                    "volumeName": str(mount.get("name") or ""),
                }


class Objects:
    """Handlers of Kubernetes objects."""

    def __init__(self, api: Api) -> None:
        self.store = api.store

    def list_of(self, kind: str) -> Handler:
        """The handler of GET /agents/{agentIdentity}/<kind>s."""

        def list_objects(request: Request) -> Response:
            agent = agent_in_path(self.store, request)
            page, query = parse_page(request), request.query_params
            wanted = ObjectFilter(agent.id, kind, query.get("namespace", ""), query.get("name", ""))
            rows = iterate_objects(self.store, wanted, limit=page.size, offset=page.offset)
            found = (orjson.dumps(object_wire(agent, kind, row)) for row in rows)
            return list_response(request, found, count_objects(self.store, wanted))

        return list_objects

    def pod_in_path(self, request: Request) -> tuple[Agent, ObjectRow]:
        """The agent and the current pod named in the path; 404 if there is none."""
        agent = agent_in_path(self.store, request)
        row = find_object(self.store, agent.id, "Pod", request.path_params["pod_uid"])
        if row is None:
            raise HTTPException(404, "no such pod")
        return agent, row

    def list_containers(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/pods/{pod_uid}/containers."""
        _, row = self.pod_in_path(request)
        found = [container_wire(*one) for one in containers_of(row.body)]
        return api_response({"correlationID": correlation_of(request), "items": found})

    def list_volumes(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/pods/{pod_uid}/volumes."""
        _, row = self.pod_in_path(request)
        return api_response({"correlationID": correlation_of(request), "items": list(volumes_of(row.body))})
