"""The command `podsonar replay` on given files, and a pod and a service to resolve."""

from typing import Any

import orjson
from click.testing import CliRunner, Result

from cli.replay import replay as command
from podsonar.errors import PodsonarError
from tests.node_agent.stages import WEB

LINE = f"connection 10.1.1.2 -> 10.1.1.3:8080 from pod {{{WEB}}} to svc {{}} or pod {{}} added to the list"
POD = {
    "kind": "Pod",
    "metadata": {
        "uid": WEB,
        "name": "web-1",
        "namespace": "shop",
        "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}],
        "managedFields": [{"manager": "kubectl"}],
    },
    "spec": {"nodeName": "node-a"},
    "status": {"phase": "Running", "podIP": "10.244.0.5", "startTime": "2020-01-01T00:00:00Z"},
}

SERVICE = {
    "kind": "Service",
    "metadata": {"uid": "svc-1", "name": "orders", "namespace": "shop", "creationTimestamp": "2020-01-01T00:00:00Z"},
    "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 8080}]},
}

KUBECTL = {"apiVersion": "v1", "kind": "List", "items": [POD, SERVICE, {"kind": "ConfigMap", "metadata": {}}]}
BODY = {"podList": [POD], "serviceList": [SERVICE]}


def run(*words: object) -> Result:
    """The command's result; an error that is not one of ours is raised here."""
    result = CliRunner().invoke(command, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, PodsonarError | SystemExit):
        raise result.exception
    return result


def bodies_of(result: Result) -> list[dict[str, Any]]:
    """The bodies that were printed, one per line."""
    assert result.exception is None, result.exception
    return [orjson.loads(line) for line in result.stdout.splitlines()]
