"""A real API server with tens of thousands of objects: a few are created by the API, the rest are copies in etcd.

etcd holds an object as protobuf, in which names, UIDs and addresses are plain text. A copy differs in texts of the same
length alone, so that it stays valid; nodes, services, workloads and pods refer to each other by them.
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
PUTS = 100  # a transaction
Object = dict[str, Any]
Texts = dict[str, str]


def uid(letter: str, number: int) -> str:
    """A UID that says whose it is."""
    return f"{letter * 8}-0000-4000-8000-{number:012d}"


def octets(number: int) -> str:
    """Two octets of three digits each."""
    return f"{100 + number // 150}.{100 + number % 150}"


def texts(kind: str, number: int, services: int, nodes: int) -> Texts:
    """What is particular to the object of a number; every text has the same length for all numbers."""
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
    """A container with what one usually has."""
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
    """A pod's specification."""
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    volumes = [{"name": "config", "configMap": {"name": app}}, {"name": "api", "projected": {"sources": sources}}]
    return {"containers": [container(app)], "volumes": volumes, "serviceAccountName": app}


def pod_status(seen: Texts) -> Object:
    """A running pod's status."""
    now = f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    names = ("Initialized", "Ready", "PodScheduled")
    conditions = [{"type": name, "status": "True", "lastTransitionTime": now} for name in names]
    image = f"registry.example.com/team/{seen['APP']}"
    running = {
        "name": "app",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": f"{image}:1.4.2",
        "imageID": f"{image}@sha256:{'0123456789abcdef' * 4}",
        "containerID": f"containerd://{seen['CONTAINER']}",
        "state": {"running": {"startedAt": now}},
    }
    address = seen["ADDRESS"]
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


def first(kind: str, services: int, nodes: int) -> Object:
    """The object that is created; the others of its kind are copies."""
    seen = texts(kind, 0, services, nodes)
    app = seen.get("APP", "")
    labels = {"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "tier": "backend"}
    meta: Object = {"name": app, "namespace": seen.get("NAMESPACE"), "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(app)}
    workload = {"replicas": 25, "selector": {"matchLabels": {"app": app}}, "template": template}
    if kind == "Node":
        addresses = [
            {"type": "InternalIP", "address": seen["ADDRESS"]},
            {"type": "Hostname", "address": seen["NAME"]},
        ]
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": seen["NAME"]},
            "status": {"addresses": addresses},
        }
    if kind == "Service":
        spec: Object = {"clusterIP": seen["ADDRESS"], "selector": {"app": app}, "ports": [{"port": 80}]}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}
    if kind == "Deployment":
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": workload}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": seen["OWNER"], "controller": True}
    if kind == "ReplicaSet":
        meta |= {"name": f"{app}-7c9f8b6d54", "ownerReferences": [owner]}
        return {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": workload}
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "checksum/config": "ab" * 32}
    owner |= {"kind": "ReplicaSet", "name": f"{app}-7c9f8b6d54", "blockOwnerDeletion": True}
    meta |= {"name": seen["NAME"], "annotations": annotations, "ownerReferences": [owner]}
    spec = {**pod_spec(app), "nodeName": seen["NODE"]}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec, "status": pod_status(seen)}


PLURALS = {
    "Node": "minions",
    "Service": "services/specs",
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "Pod": "pods",
}
LETTERS = {"Node": "d", "Service": "e", "Deployment": "a", "ReplicaSet": "b", "Pod": "c"}


class Etcd:
    """etcd's JSON gateway."""

    def __init__(self, plane: ControlPlane) -> None:
        arguments: list[str] = list(plane.processes["etcd"].args)  # type: ignore[arg-type]
        url = next(one.split("=", 1)[1] for one in arguments if one.startswith("--listen-client-urls="))
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self.client.close()

    def get(self, key: bytes) -> bytes:
        """The value of a key."""
        answer = self.client.post("/v3/kv/range", json={"key": base64.b64encode(key).decode()}).raise_for_status()
        return base64.b64decode(answer.json()["kvs"][0]["value"])

    def put(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Keys and their values, in one transaction."""
        encoded = ((base64.b64encode(key).decode(), base64.b64encode(value).decode()) for key, value in pairs)
        operations = [{"requestPut": {"key": key, "value": value}} for key, value in encoded]
        self.client.post("/v3/kv/txn", json={"success": operations}).raise_for_status()


def copies(
    kind: str, numbers: range, services: int, nodes: int, origin: tuple[bytes, bytes, str]
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each copy of an object (its key, its value, its UID)."""
    key, value, own = origin
    before = texts(kind, 0, services, nodes)
    for number in numbers:
        pairs = [(before[name], text) for name, text in texts(kind, number, services, nodes).items()]
        pairs.append((own, uid(LETTERS[kind], number)))
        changed_key, changed = key, value
        # Longest first: a pod's name holds the name of its application.
        for old, new in sorted(pairs, key=lambda pair: -len(pair[0])):
            if len(old) != len(new):
                raise ValueError(f"{kind} {number}: {new!r} is longer or shorter than {old!r}")
            changed_key = changed_key.replace(old.encode(), new.encode())
            changed = changed.replace(old.encode(), new.encode())
        yield changed_key, changed


def fill(plane: ControlPlane, counts: dict[str, int], say: Callable[[str], object], begin: int = 0) -> None:
    """Put that many objects of each kind there; pods from the number `begin` on."""
    services, nodes = counts["Service"], counts["Node"]
    if begin == 0:
        plane.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number:04d}"}}
            for number in range(NAMESPACES)
        )
    with closing(Etcd(plane)) as etcd, ThreadPoolExecutor(4) as pool:
        for kind, count in counts.items():
            if begin and kind != "Pod":
                continue
            (stored,) = plane.apply([first(kind, services, nodes)])
            meta = stored["metadata"]
            place = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
            key = f"/registry/{PLURALS[kind]}/{place}".encode()
            origin = (key, etcd.get(key), meta["uid"])
            pairs = list(copies(kind, range(begin, begin + count), services, nodes, origin))
            list(pool.map(etcd.put, [pairs[at : at + PUTS] for at in range(0, len(pairs), PUTS)]))
            say(f"{count} {kind} objects of {len(origin[1])} bytes in etcd")
