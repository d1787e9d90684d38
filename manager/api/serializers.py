"""Answers in the shapes of the service discovery API's document. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from manager.store.objects import ObjectRow
from podsonar.model import rfc3339


def common_fields(agent_id: str, row_id: str, created_ns: int, updated_ns: int) -> dict[str, Any]:
    """The fields that every stored record has in the API."""
    return {
        "id": row_id,
        "agentID": agent_id,
        "accountIdentifier": "",
        "organizationIdentifier": "",
        "projectIdentifier": "",
        "environmentIdentifier": "",
        "createdAt": rfc3339(created_ns),
        "createdBy": "",
        "updatedAt": rfc3339(updated_ns),
        "updatedBy": "",
        "removed": False,
    }


def object_wire(agent_id: str, kind: str, row: ObjectRow) -> dict[str, Any]:
    """A Kubernetes object as `database.PodCollection` or that of its kind."""
    body = row.body
    metadata = body["metadata"]
    found = common_fields(agent_id, metadata["uid"], row.first_ns, row.updated_ns) | {
        "apiVersion": body.get("apiVersion", ""),
        "kind": body.get("kind") or kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "labels": metadata.get("labels") or {},
        "annotations": metadata.get("annotations") or {},
        "ownerReference": metadata.get("ownerReferences") or [],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "creationTimestamp": metadata.get("creationTimestamp"),
        "deletionTimestamp": metadata.get("deletionTimestamp"),
        "spec": body.get("spec") or {},
        "status": body.get("status") or {},
    }
    if kind not in {"Namespace", "Node"}:
        found["namespace"] = metadata.get("namespace", "")
    return found


def agent_wire(agent_id: str, identity: str, created_ns: int, services: int) -> dict[str, Any]:
    """`api.GetAgentResponse`."""
    found = common_fields(agent_id, agent_id, created_ns, created_ns)
    del found["agentID"]
    return found | {"identity": identity, "name": identity, "serviceCount": services, "networkMapCount": 0}


def connection_wire(agent_id: str, row_id: str, node: str, at_ns: int, spec: Mapping[str, Any]) -> dict[str, Any]:
    """`database.ConnectionCollection`; `spec` keeps the counts beside the document's fields."""
    return common_fields(agent_id, row_id, at_ns, at_ns) | {"spec": {**spec, "nodeName": node}}


def edge_wire(edge: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`api.DiscoveredServiceConnection`."""
    source, destination = places[edge["source"]], places[edge["destination"]]
    return {
        "id": f"{edge['source']}|{edge['destination']}|{edge['port']}",
        "type": edge["type"],
        "sourceID": edge["source"],
        "sourceName": source["name"],
        "sourceNamespace": source["namespace"],
        "sourceIP": "",
        "destinationID": edge["destination"],
        "destinationName": destination["name"],
        "destinationNamespace": destination["namespace"],
        "destinationIP": destination["name"] if destination["kind"] in {"External", "Unresolved"} else "",
        "destinationPort": edge["port"],
    }


def discovered_service_wire(
    agent_id: str, identity: str, place: Mapping[str, Any], service: Mapping[str, Any] | None, at_ns: int
) -> dict[str, Any]:
    """`database.DiscoveredServiceCollection` of a map node; `service` is its Kubernetes Service, if it is one."""
    body = service or {}
    metadata, spec = body.get("metadata") or {}, body.get("spec") or {}
    namespace, name = place["namespace"], place["name"]
    workloads = [{"identity": dict(one), "replicas": []} for one in place["workloads"]]
    identity_reference = {"kind": "Service", "namespace": namespace, "name": name, "uid": metadata.get("uid", "")}
    addresses: Sequence[str] = spec.get("clusterIPs") or []
    return common_fields(agent_id, place["id"], at_ns, at_ns) | {
        "agentIdentity": identity,
        "name": name,
        "type": "Kubernetes",
        "version": "v1",
        "spec": {
            "fqdn": [f"{name}.{namespace}.svc"] if service else [],
            "ip": [one for one in addresses if one != "None"],
            "port": [str(port.get("port")) for port in spec.get("ports") or []],
            "kubernetes": {
                "kind": "Service" if service else next((w["kind"] for w in place["workloads"]), "Pod"),
                "name": name,
                "namespace": namespace,
                "uid": metadata.get("uid") or next((w["uid"] for w in place["workloads"]), ""),
                "workloads": workloads,
                "service": {
                    "identity": identity_reference,
                    "labels": metadata.get("labels") or {},
                    "annotations": metadata.get("annotations") or {},
                    "clusterIP": spec.get("clusterIP", ""),
                    "clusterIPs": addresses,
                    "externalIPs": spec.get("externalIPs") or [],
                    "externalName": spec.get("externalName", ""),
                    "loadBalancerIP": spec.get("loadBalancerIP", ""),
                    "ports": spec.get("ports") or [],
                    "type": spec.get("type", "ClusterIP"),
                }
                if service
                else None,
            },
        },
    }
