"""What redaction leaves as it is: names, labels, selectors, images, ports and references, and what a setting keeps."""

from typing import Any

import orjson
import pytest

from collector.inventory.redacted_fields import Mode
from collector.inventory.redaction import Redaction
from podsonar.errors import SettingsError
from tests.collector.inventory.secret_objects import CANARY, in_args, in_container, redacted

SURVIVOR: dict[str, Any] = {
    "metadata": {
        "name": "auth-token-service",
        "namespace": "secrets",
        "uid": "0d65a1b2-0000-4000-8000-000000000001",
        "labels": {"app": "auth", "secret": "token", "tier/password-store": "vault"},
        "annotations": {
            "prometheus.io/port": "9090",
            "checksum/config": "ab" * 32,
            "kubernetes.io/config.hash": "0d65a1b200004000",
            "kubectl.kubernetes.io/restartedAt": "2026-11-24T02:52:49+01:00",
        },
        "ownerReferences": [{"kind": "ReplicaSet", "name": "auth-7c9f", "uid": "u", "controller": True}],
    },
    "spec": {
        "serviceAccountName": "token-issuer",
        "imagePullSecrets": [{"name": "registry-secret"}],
        "containers": [
            {
                "name": "auth",
                "image": "registry.example.com:5000/team/auth:1.4.2",
                "ports": [{"name": "auth", "containerPort": 8080, "protocol": "TCP"}],
                "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
                "envFrom": [{"secretRef": {"name": "db-credentials"}}],
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            }
        ],
        "volumes": [
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "x"}}]}},
            {"name": "tls", "secret": {"secretName": "auth-tls", "items": [{"key": "password", "path": "pwd"}]}},
            {"name": "models", "image": {"reference": "reg:5000/team/token:1.4.2", "pullPolicy": "Always"}},
        ],
        "dnsConfig": {"searches": ["auth", "team-secret.svc.cluster.local", "x"], "nameservers": ["10.96.0.10"]},
        "topologySpreadConstraints": [{"matchLabelKeys": ["secret", "pod-template-hash"], "topologyKey": "zone"}],
        "affinity": {
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "namespaces": ["secrets", "shop"],
                        "labelSelector": {
                            "matchLabels": {"app": "auth"},
                            "matchExpressions": [{"key": "a", "operator": "In", "values": ["auth", "cart", "token"]}],
                        },
                    }
                ]
            }
        },
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["auth", "cart"]}],
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
        "tolerations": [{"key": "auth", "operator": "Equal", "value": "token", "effect": "NoSchedule"}],
    },
    "status": {
        "podIPs": [{"ip": "10.244.0.7"}],
        "containerStatuses": [
            {
                "image": "registry.example.com:5000/team/auth:1.4.2",
                "imageID": f"docker-pullable://registry.example.com:5000/team/auth:1.4@sha256:{'0a' * 32}",
                "containerID": f"containerd://{'0b' * 32}",
            }
        ],
    },
}


def test_names_labels_selectors_images_ports_and_references_survive() -> None:
    """An object without a secret is not changed by one byte, whatever its things are called."""
    content, counts = redacted(SURVIVOR)
    assert orjson.loads(content) == SURVIVOR
    assert counts == {}


def test_images_of_a_node_survive() -> None:
    """Digests and tags are no credentials, whatever the repository is called."""
    names = [f"reg:5000/auth@sha256:{'0c' * 32}", "reg:5000/token-issuer:v2"]
    node = {"status": {"images": [{"names": names, "sizeBytes": 7}], "nodeInfo": {"osImage": "Debian 12"}}}
    assert orjson.loads(redacted(node, kind="Node")[0]) == node


@pytest.mark.parametrize("mode", ["structure", "patterns"])
def test_values_beside_what_is_redacted_stay(mode: Mode) -> None:
    """Of an environment variable the name and the reference stay, of a container its image."""
    env = [{"name": "A", "value": CANARY}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
    content, _ = redacted(in_container(env=env, image="a:1"), mode)
    assert orjson.loads(content)["spec"]["containers"] == [
        {"name": "app", "env": [{"name": "A", "value": "[redacted:env]"}, env[1]], "image": "a:1"}
    ]


def test_flag_of_kept_arguments_stays_with_the_next_flag() -> None:
    """Of a URL the host stays, of a flag its name, and the next flag whole."""
    content, _ = redacted(in_args("--auth", "--port=80", "--token", CANARY, "--pg=redis://app:x@db/0"), "patterns")
    assert orjson.loads(content)["spec"]["containers"][0]["args"] == [
        "--auth",
        "--port=80",
        "--token",
        "[redacted:argument]",
        "--pg=redis://[redacted:url_credentials]@db/0",
    ]


def test_keep_lets_out_what_it_names_and_nothing_else() -> None:
    """A path and an annotation leave, pattern rules applied; what is beside them does not."""
    redaction = Redaction(keep=["containers.args", "example.com/team", "status.message", "annotations.owner"])
    pod = {
        "metadata": {"annotations": {"example.com/team": "shop", "example.com/other": CANARY, "owner": "jo"}},
        "spec": {
            "containers": [{"args": ["--port=80", f"--token={CANARY}"], "command": [CANARY]}],
            "initContainers": [{"args": [CANARY]}],
        },
        "status": {"message": "Evicted: low on memory", "conditions": [{"message": CANARY}]},
    }
    found = orjson.loads(redaction.json("Pod", [pod]))
    assert CANARY not in str(found)
    assert found["metadata"]["annotations"]["example.com/team"] == "shop"
    assert found["metadata"]["annotations"]["owner"] == "jo"
    assert found["spec"]["containers"][0]["args"] == ["--port=80", "--token=[redacted:argument]"]
    assert found["status"]["message"] == "Evicted: low on memory"
    assert redaction.counts == {"annotation": 1, "argument": 1, "command": 1, "args": 1, "message": 1}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("kubectl.kubernetes.io/last-applied-configuration", "copies of whole objects"),
        ("annotations.example.com/api-token", "named after a secret"),
        ("spec.containers.env.value", "never leave"),
        ("httpHeaders.value", "never leave"),
        ("spec.containers.arg", "spec.containers.args"),
        ("managedFields", "expected an annotation's key"),
        ("", "expected an annotation's key"),
    ],
)
def test_row_60_entry_of_keep_that_may_not_leave_or_is_no_path_stops_the_program(entry: str, words: str) -> None:
    """The sentence names the entry, and why it cannot be or what was expected."""
    with pytest.raises(SettingsError, match=r"redaction\.keep") as raised:
        Redaction(keep=[entry])
    assert repr(entry) in str(raised.value)
    assert words in str(raised.value)
