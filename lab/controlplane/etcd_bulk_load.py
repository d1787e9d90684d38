"""Fills a real API server with tens of thousands of objects: a few are created by the API, the rest are copies in etcd.

etcd holds an object as protobuf, in which names, UIDs and addresses are plain text. A copy replaces texts by others of
the same length, so that it stays valid; nodes, services, workloads and pods refer to each other by these texts.
"""

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx

from lab.controlplane.server import ControlPlane

NAMESPACES = 40
PUTS_PER_TRANSACTION = 100  # a transaction
Object = dict[str, Any]
Texts = dict[str, str]


def uid(letter: str, number: int) -> str:
    """A UID with a letter for the kind and a number for the object."""
    return f"{letter * 8}-0000-4000-8000-{number:012d}"


def octets(number: int) -> str:
    """Two octets of three digits each."""
    return f"{100 + number // 150}.{100 + number % 150}"


def texts_of(kind: str, number: int, services: int, nodes: int) -> Texts:
    """The texts particular to the object of a number; every text has the same length for all numbers."""
    service = number % services
    app = f"app-{service:06d}"
    common = {"NAMESPACE": f"team-{service % NAMESPACES:04d}", "APP": app}
    if kind == "Node":
        return {"NAME": f"node-{number:06d}", "ADDRESS": f"192.{100 + number // 22500}.{octets(number % 22500)}"}
    if kind == "Service":
        return {**common, "ADDRESS": f"10.96.{octets(service)}"}
    if kind == "Pod":
        address = f"10.{100 + number // 22500}.{octets(number % 22500)}"
        return {
            **common,
            "NAME": f"{app}-7c9f8b6d54-{number:07d}",
            "NODE": f"node-{number % nodes:06d}",
            "ADDRESS": address,
            "OWNER": uid("b", service),
            "CONTAINER": f"{number:064x}",
        }
    return {**common, "OWNER": uid("a", service)}


def container(app: str) -> Object:
    """A container with the usual fields."""
    probe = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    plain = [{"name": f"SETTING_{number}", "value": f"value-{number}-of-{app}"} for number in range(4)]
    secret = {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    field = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
    return {
        "name": "app",
        "image": f"registry.example.com/team/{app}:1.4.2",
        "args": ["--port=8080", "--log-level=info", f"--service={app}", "--auth-mode=mtls"],
        "env": [*plain, secret, field],
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, **probe},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/app"},
            {"name": "api", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
    }


def pod_spec(app: str) -> Object:
    """The specification of a pod."""
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    volumes = [{"name": "config", "configMap": {"name": app}}, {"name": "api", "projected": {"sources": sources}}]
    return {"containers": [container(app)], "volumes": volumes, "serviceAccountName": app}


def pod_status(own_texts: Texts) -> Object:
    """The status of a running pod."""
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    names = ("Initialized", "Ready", "PodScheduled")
    conditions = [{"type": name, "status": "True", "lastTransitionTime": now} for name in names]
    image = f"registry.example.com/team/{own_texts['APP']}"
    running = {
        "name": "app",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": f"{image}:1.4.2",
        "imageID": f"{image}@sha256:{'0123456789abcdef' * 4}",
        "containerID": f"containerd://{own_texts['CONTAINER']}",
        "state": {"running": {"startedAt": now}},
    }
    address = own_texts["ADDRESS"]
    return {
        "phase": "Running",
        "startTime": now,
        "hostIP": "192.100.100.100",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": conditions,
        "containerStatuses": [running],
        "qosClass": "Burstable",
    }


def template_object(kind: str, services: int, nodes: int) -> Object:
    """The one object per kind that is created by the API; the others are copies of it."""
    own_texts = texts_of(kind, 0, services, nodes)
    app = own_texts.get("APP", "")
    labels = {"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "tier": "backend"}
    meta: Object = {"name": app, "namespace": own_texts.get("NAMESPACE"), "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(app)}
    workload = {"replicas": 25, "selector": {"matchLabels": {"app": app}}, "template": template}
    if kind == "Node":
        addresses = [
            {"type": "InternalIP", "address": own_texts["ADDRESS"]},
            {"type": "Hostname", "address": own_texts["NAME"]},
        ]
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": own_texts["NAME"]},
            "status": {"addresses": addresses},
        }
    if kind == "Service":
        spec: Object = {"clusterIP": own_texts["ADDRESS"], "selector": {"app": app}, "ports": [{"port": 80}]}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}
    if kind == "Deployment":
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": workload}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": own_texts["OWNER"], "controller": True}
    if kind == "ReplicaSet":
        meta |= {"name": f"{app}-7c9f8b6d54", "ownerReferences": [owner]}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": workload}
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "checksum/config": "ab" * 32}
    owner |= {"kind": "ReplicaSet", "name": f"{app}-7c9f8b6d54", "blockOwnerDeletion": True}
    meta |= {"name": own_texts["NAME"], "annotations": annotations, "ownerReferences": [owner]}
    spec = {**pod_spec(app), "nodeName": own_texts["NODE"]}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec, "status": pod_status(own_texts)}


PLURALS = {
    "Node": "minions",
    "Service": "services/specs",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "Pod": "pods",
}
UID_LETTERS = {"Node": "d", "Service": "e", "Deployment": "a", "ReplicaSet": "b", "Pod": "c"}


class Etcd:
    """A client of etcd's JSON gateway."""

    def __init__(self, plane: ControlPlane) -> None:
        arguments: list[str] = list(plane.processes["etcd"].args)  # type: ignore[arg-type]
        url = next(spec.split("=", 1)[1] for spec in arguments if spec.startswith("--listen-client-urls="))
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def get(self, key: bytes) -> bytes:
        """The value of a key."""
        answer = self.client.post("/v3/kv/range", json={"key": base64.b64encode(key).decode()}).raise_for_status()
        return base64.b64decode(answer.json()["kvs"][0]["value"])

    def put(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Write keys and their values in one transaction."""
        encoded = ((base64.b64encode(key).decode(), base64.b64encode(value).decode()) for key, value in pairs)
        operations = [{"requestPut": {"key": key, "value": value}} for key, value in encoded]
        self.client.post("/v3/kv/txn", json={"success": operations}).raise_for_status()


def copies(
    kind: str, numbers: range, services: int, nodes: int, origin: tuple[bytes, bytes, str]
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each copy of an object; `origin` is its key, its value and its UID."""
    key, value, own_uid = origin
    before = texts_of(kind, 0, services, nodes)
    for number in numbers:
        pairs = [(before[name], text) for name, text in texts_of(kind, number, services, nodes).items()]
        pairs.append((own_uid, uid(UID_LETTERS[kind], number)))
        changed_key, changed = key, value
        # Longest first: a pod's name holds the name of its application.
        for old, new in sorted(pairs, key=lambda pair: -len(pair[0])):
            if len(old) != len(new):
                raise ValueError(f"{kind} {number}: {new!r} is longer or shorter than {old!r}")
            changed_key = changed_key.replace(old.encode(), new.encode())
            changed = changed.replace(old.encode(), new.encode())
        yield changed_key, changed


def fill(plane: ControlPlane, counts: dict[str, int], report: Callable[[str], object], first_pod: int = 0) -> None:
    """Write that many objects of each kind; with `first_pod`, only further pods from that number on."""
    services, nodes = counts["Service"], counts["Node"]
    if first_pod == 0:
        plane.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number:04d}"}}
            for number in range(NAMESPACES)
        )
    with closing(Etcd(plane)) as etcd, ThreadPoolExecutor(4) as pool:
        for kind, count in counts.items():
            if first_pod and kind != "Pod":
                continue
            (stored,) = plane.apply([template_object(kind, services, nodes)])
            meta = stored["metadata"]
            place = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
            key = f"/registry/{PLURALS[kind]}/{place}".encode()
            origin = (key, etcd.get(key), meta["uid"])
            pairs = list(copies(kind, range(first_pod, first_pod + count), services, nodes, origin))
            list(
                pool.map(
                    etcd.put,
                    [pairs[at : at + PUTS_PER_TRANSACTION] for at in range(0, len(pairs), PUTS_PER_TRANSACTION)],
                )
            )
            report(f"{count} {kind} objects of {len(origin[1])} bytes in etcd")
