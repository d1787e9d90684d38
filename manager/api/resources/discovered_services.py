"""Discovered services with what is behind them: their Service, their workloads, their pods."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api
from manager.api.lists import correlation_of, list_response, parse_page
from manager.api.resources.objects import API_VERSIONS, object_wire
from manager.api.wire import api_response, record_fields
from manager.http.auth import agent_in_path
from manager.schema.document import conform
from manager.service_map.discovered import discovered_services
from manager.service_map.topology import build_topology
from manager.store.agents import Agent
from manager.store.batches.object_lists import ObjectRow, find_object, find_objects
from manager.store.batches.queries import read_summaries
from manager.store.maps.discovered_services import (
    DiscoveredService,
    find_services,
    inventories_of,
    list_services,
    replace_services,
)

ROWS_AT_ONCE = 100
SCHEMA = "database.DiscoveredServiceCollection"


class Behind(NamedTuple):
    """The Kubernetes objects behind some discovered services, by UID."""

    services: dict[str, ObjectRow]
    workloads: dict[str, ObjectRow]
    pods: dict[str, ObjectRow]


def reference(kind: str, namespace: str, name: str, uid: str, row: ObjectRow | None, group: str = "") -> dict[str, Any]:
    """`v1.ObjectReference`."""
    version = row.body.get("apiVersion") if row else None
    found = {
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "uid": uid,
        "apiVersion": version or API_VERSIONS.get(kind) or (f"{group}/v1" if group else "v1"),
    }
    if row is not None:
        found["resourceVersion"] = row.body["metadata"].get("resourceVersion") or ""
    return found


def labels_of(row: ObjectRow | None) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations of an object; empty without one."""
    metadata = row.body["metadata"] if row else {}
    return metadata.get("labels") or {}, metadata.get("annotations") or {}


def workload_wire(workload: dict[str, Any], behind: Behind) -> dict[str, Any]:
    """`database.DiscoveredKubernetesWorkload`; its pods' labels are those of the first one."""
    pods = workload["pods"]
    row = behind.workloads.get(workload["uid"])
    labels, annotations = labels_of(row)
    pod_labels, pod_annotations = labels_of(behind.pods.get(pods[0]["uid"]) if pods else None)
    replicas = [
        {"identity": reference("Pod", pod["namespace"], pod["name"], pod["uid"], None), "phase": pod["phase"]}
        for pod in pods
    ]
    names = (workload["kind"], workload["namespace"], workload["name"], workload["uid"])
    return {
        "identity": reference(*names, row, workload["group"]),
        "labels": labels,
        "annotations": annotations,
        "podLabels": pod_labels,
        "podAnnotations": pod_annotations,
        "replicas": replicas,
    }


def service_wire(one: DiscoveredService, row: ObjectRow | None) -> dict[str, Any]:
    """`database.DiscoveredKubernetesService`."""
    spec = (row.body.get("spec") if row else None) or {}
    labels, annotations = labels_of(row)
    texts = {name: spec.get(name) or "" for name in ("clusterIP", "externalName", "loadBalancerIP")}
    lists = {name: spec.get(name) or [] for name in ("clusterIPs", "externalIPs", "ports")}
    return {
        "identity": reference("Service", one.namespace, one.name, one.uid, row),
        "labels": labels,
        "annotations": annotations,
        "type": spec.get("type") or "ClusterIP",
        **texts,
        **lists,
    }


def discovered_wire(agent: Agent, one: DiscoveredService, behind: Behind) -> dict[str, Any]:
    """`database.DiscoveredServiceCollection`."""
    row = behind.services.get(one.uid) if one.is_service else None
    workloads = one.body["workloads"]
    kubernetes: dict[str, Any] = {
        "kind": "Service" if one.is_service else next((workload["kind"] for workload in workloads), "Pod"),
        "name": one.name,
        "namespace": one.namespace,
        "uid": one.uid,
        "workloads": [workload_wire(workload, behind) for workload in workloads],
    }
    service = service_wire(one, row) if one.is_service else None
    if service is not None:
        kubernetes["service"] = service
    tenant = {name: value for name, value in record_fields(agent, one.id, 0, 0).items() if name.endswith("Identifier")}
    environment = tenant.pop("environmentIdentifier")
    found = record_fields(agent, one.id, one.first_ns, one.updated_ns) | {
        "agentIdentity": agent.identity,
        "name": one.name,
        "type": "Kubernetes",
        "version": "v1",
        "spec": {
            "fqdn": [f"{one.name}.{one.namespace}.svc"] if service else [],
            "ip": [address for address in service["clusterIPs"] if address != "None"] if service else [],
            "port": [str(port.get("port")) for port in service["ports"]] if service else [],
            "harnessEnvironmentIdentity": {**tenant, "identifier": environment, "infraIdentifier": agent.identity},
            "kubernetes": kubernetes,
        },
    }
    shaped: dict[str, Any] = conform(found, SCHEMA)
    return shaped


class DiscoveredServices:
    """Handlers of discovered services."""

    def __init__(self, api: Api) -> None:
        self.api, self.store = api, api.store
        self.making = threading.Lock()

    def refresh(self, agent: Agent) -> None:
        """Make the rows of the agent's newest inventory, unless they are there."""
        newest, made_from = inventories_of(self.store, agent.id)
        if newest == made_from:
            return
        with self.making:
            newest, made_from = inventories_of(self.store, agent.id)
            if newest != made_from:
                topology = build_topology(read_summaries(self.store, agent.id, None))
                found = discovered_services(agent, topology, self.api.clock())
                replace_services(self.store, agent.id, newest, found)

    def page(
        self, agent: Agent, namespace: str, search: str, limit: int | None, offset: int
    ) -> tuple[list[DiscoveredService], int]:
        """One page of an agent's services, and how many there are in all."""
        self.refresh(agent)
        return list_services(self.store, agent.id, namespace, search, limit, offset)

    def of_ids(self, agent: Agent, ids: Sequence[str], search: str = "") -> list[DiscoveredService]:
        """Those of the ids that are there now."""
        self.refresh(agent)
        return find_services(self.store, agent.id, ids, search)

    def in_path(self, request: Request) -> tuple[Agent, DiscoveredService]:
        """The agent and the discovered service named in the path; 404 if there is none."""
        agent = agent_in_path(self.store, request)
        found = self.of_ids(agent, [request.path_params["dsvc_id"]])
        if not found:
            raise HTTPException(404, "no such discovered service")
        return agent, found[0]

    def wires(self, agent: Agent, services: Sequence[DiscoveredService]) -> Iterator[dict[str, Any]]:
        """The services as the API shows them, some at a time."""
        for place in range(0, len(services), ROWS_AT_ONCE):
            some = services[place : place + ROWS_AT_ONCE]
            behind = self.behind(agent, some)
            for one in some:
                yield discovered_wire(agent, one, behind)

    def behind(self, agent: Agent, services: Iterable[DiscoveredService]) -> Behind:
        """The Kubernetes objects behind the services."""
        services = list(services)
        by_kind: dict[str, list[str]] = {}
        pods: list[str] = []
        for one in services:
            for workload in one.body["workloads"]:
                by_kind.setdefault(workload["kind"], []).append(workload["uid"])
                pods += [pod["uid"] for pod in workload["pods"][:1]]
        workloads: dict[str, ObjectRow] = {}
        for kind, uids in by_kind.items():
            workloads |= find_objects(self.store, agent.id, kind, uids)
        of_services = find_objects(self.store, agent.id, "Service", [one.uid for one in services if one.is_service])
        return Behind(of_services, workloads, find_objects(self.store, agent.id, "Pod", pods))

    def list_discovered_services(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/discoveredservices."""
        agent = agent_in_path(self.store, request)
        page, query = parse_page(request), request.query_params
        found, total = self.page(agent, query.get("namespace", ""), query.get("search", ""), page.size, page.offset)
        return list_response(request, map(orjson.dumps, self.wires(agent, found)), total)

    def get_discovered_service(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/discoveredservices/{dsvc_id}."""
        agent, one = self.in_path(request)
        return api_response(next(self.wires(agent, [one])) | {"correlationID": correlation_of(request)})

    def get_service(self, request: Request) -> Response:
        """GET …/discoveredservices/{dsvc_id}/service; 404 for a workload that no Service selects."""
        agent, one = self.in_path(request)
        row = find_object(self.store, agent.id, "Service", one.uid) if one.is_service else None
        if row is None:
            raise HTTPException(404, "the discovered service has no Service")
        return api_response(object_wire(agent, "Service", row) | {"correlationID": correlation_of(request)})

    def pods_in_path(self, request: Request) -> tuple[Agent, list[str]]:
        """The agent, and the UIDs of the pods of the workload named in the path; 404 if there is none."""
        agent, one = self.in_path(request)
        for workload in one.body["workloads"]:
            if workload["uid"] == request.path_params["wl_uid"]:
                return agent, [pod["uid"] for pod in workload["pods"]]
        raise HTTPException(404, "no such workload")

    def list_pods(self, request: Request) -> Response:
        """GET …/discoveredservices/{dsvc_id}/workloads/{wl_uid}/pods: all of them, unless a page is asked for."""
        agent, uids = self.pods_in_path(request)
        page = parse_page(request)
        shown = uids if "limit" not in request.query_params else list(page.of(uids))
        rows = find_objects(self.store, agent.id, "Pod", shown)
        wires = (orjson.dumps(object_wire(agent, "Pod", rows[uid])) for uid in shown if uid in rows)
        return list_response(request, wires)

    def get_pod(self, request: Request) -> Response:
        """GET …/discoveredservices/{dsvc_id}/workloads/{wl_uid}/pods/{pod_uid}."""
        agent, uids = self.pods_in_path(request)
        uid = request.path_params["pod_uid"]
        row = find_object(self.store, agent.id, "Pod", uid) if uid in uids else None
        if row is None:
            raise HTTPException(404, "no such pod")
        return api_response(object_wire(agent, "Pod", row) | {"correlationID": correlation_of(request)})
