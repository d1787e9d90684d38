"""What is taken out, and what must stay: names, labels, selectors, images, ports and references."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.inventory.redaction import Redaction
from collector.inventory.redaction_rules import HINTS, redacted_text

CANARY = "canary-3f9a"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


def redacted(obj: dict[str, Any]) -> tuple[bytes, dict[str, int]]:
    """The object's JSON without secrets, and what was counted."""
    redaction = Redaction()
    return redaction.json([orjson.loads(orjson.dumps(obj))]), dict(redaction.counts)


def in_args(*args: str) -> dict[str, Any]:
    """A pod with arguments."""
    return {"spec": {"containers": [{"name": "app", "args": list(args)}]}}


@pytest.mark.parametrize(
    ("obj", "rule"),
    [
        ({"spec": {"containers": [{"env": [{"name": "A", "value": CANARY}]}]}}, "env"),
        ({"spec": {"template": {"spec": {"initContainers": [{"env": [{"name": "A", "value": CANARY}]}]}}}}, "env"),
        ({"spec": {"somewhereNew": {"env": [CANARY]}}}, "env"),
        ({"status": {"ports": [{"env": [{"name": "A", "value": CANARY}]}]}}, "env"),
        ({"status": {"httpHeaders": [{"name": "A", "value": CANARY}]}}, "http_header"),
        ({"spec": {"volumes": [{"ephemeral": {"metadata": {"managedFields": [CANARY]}}}]}}, "managed_fields"),
        ({"spec": {"volumes": [{"metadata": {"annotations": {"a/token": CANARY}}}]}}, "annotation"),
        (
            {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}},
            "last_applied",
        ),
        (
            {"spec": {"template": {"metadata": {"annotations": {"consul.hashicorp.com/original-pod": CANARY}}}}},
            "last_applied",
        ),
        ({"metadata": {"annotations": {"example.com/api-token": CANARY}}}, "annotation"),
        ({"metadata": {"managedFields": [{"fieldsV1": {CANARY: {}}}]}}, "managed_fields"),
        ({"spec": {"volumeClaimTemplates": [{"metadata": {"managedFields": [CANARY]}}]}}, "managed_fields"),
        ({"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": CANARY}]}}}, "http_header"),
        (in_args("--db-password", CANARY), "argument"),
        (in_args("--db-password", f"-{CANARY}"), "argument"),
        (in_args("--password=", CANARY), "argument"),
        (in_args("[ -f x ]", "PGPASSWORD", CANARY), "argument"),
        (in_args(f"--token={CANARY}"), "argument"),
        (in_args(f"--token={CANARY},b;c&{CANARY}"), "argument"),
        (in_args(f'--password="two {CANARY}"'), "argument"),
        (in_args(f"--set=auth.rootPassword: 'two {CANARY}'"), "argument"),
        (in_args("sh", "-c", f"exec app --api-key {CANARY} --port 80"), "argument"),
        (in_args("sh", "-c", f"API_KEY='{CANARY} x' exec app"), "argument"),
        (in_args("sh", "-c", f"exec app --access-key 'a {CANARY}'"), "argument"),
        (in_args(f'{{"db": {{"password": "{CANARY}"}}}}'), "argument"),
        (in_args(f'{{\\"password\\": \\"a {CANARY}\\"}}'), "argument"),
        (in_args("-H", f"Authorization: Bearer {CANARY}"), "argument"),
        (in_args("-H", f"X: basic {CANARY}"), "authorization"),
        (in_args(f"host=db;Password={CANARY};user=app"), "argument"),
        (in_args(f"https://x.example/?a=b&token={CANARY}"), "argument"),
        (in_args(f"postgres://app:{CANARY}@db/shop"), "url_credentials"),
        (in_args(f"redis://:{CANARY}@db/0"), "url_credentials"),
        (in_args(f"amqp://app:p@{CANARY}/x@db/0"), "url_credentials"),
        (in_args(f"https://{CANARY}-0123456789@git.example/x"), "url_credentials"),
        ({"spec": {"containers": [{"image": f"user:{CANARY}@reg.example/x"}]}}, "image_credentials"),
        ({"spec": {"containers": [{"image": f"x?token={CANARY}"}]}}, "argument"),
        ({"status": {"message": KEY}}, "private_key"),
        ({"status": {"message": KEY[:-30]}}, "private_key"),
        ({"status": {"message": "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpjYW5hcnktM2Y5YQ=="}}, "private_key"),
        ({"status": {"message": JWT}}, "jwt"),
        ({"metadata": {"labels": {"a": "AKIACANARY3F9A000000"}}}, "aws_key"),
        ({"metadata": {"labels": {"ghp_canary3f9a0000": "x"}}}, "github_token"),
        ({"metadata": {"labels": {"x": "xoxb-canary-3f9a"}}}, "slack_token"),
        ({"status": {"message": f'escaped \\" quote and "quotes" then --token={CANARY}'}}, "argument"),
    ],
)
def test_secret_is_taken_out_and_counted(obj: dict[str, Any], rule: str) -> None:
    """No place that holds a secret leaves with it; what was replaced is counted once, under its rule."""
    content, counts = redacted(obj)
    gone = (CANARY, JWT, "AKIACANARY", "canary3f9a", "xoxb", "pjYW5hcnkt")
    assert not [word for word in gone if word.encode() in content]
    assert counts == {rule: 1}
    orjson.loads(b"[" + content + b"]")


SURVIVOR: dict[str, Any] = {
    "metadata": {
        "name": "auth-token-service",
        "namespace": "secrets",
        "uid": "0d65a1b2-0000-4000-8000-000000000001",
        "labels": {"app": "auth", "secret": "token", "tier/password-store": "vault"},
        "annotations": {"prometheus.io/port": "9090", "checksum/config": "ab" * 32},
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
                "args": ["--port=8080", "--log-level=info"],
                "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
                "envFrom": [{"secretRef": {"name": "db-credentials"}}],
                "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            }
        ],
        "volumes": [
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "x"}}]}},
            {"name": "tls", "secret": {"secretName": "auth-tls", "items": [{"key": "password", "path": "pwd"}]}},
        ],
        "selector": {
            "matchLabels": {"app": "auth"},
            "matchExpressions": [{"key": "app", "operator": "In", "values": ["auth", "cart", "token", "shop"]}],
        },
        "affinity": {"podAffinity": {"namespaces": ["secrets", "shop"]}},
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["auth", "cart"]}],
        "securityContext": {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
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
        "images": [{"names": [f"reg:5000/auth@sha256:{'0c' * 32}", "reg:5000/token-issuer:v2"], "sizeBytes": 7}],
    },
}


def test_names_labels_selectors_images_ports_and_references_survive() -> None:
    """An object without a secret is not changed by one byte, whatever its things are called."""
    content, counts = redacted(SURVIVOR)
    assert orjson.loads(content) == SURVIVOR
    assert counts == {}


def test_values_beside_what_is_redacted_stay() -> None:
    """Of an environment variable the name stays, of a URL the host, of a flag its name, and the next flag whole."""
    env = [{"name": "A", "value": CANARY}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]
    content, _ = redacted(
        {"env": env, "args": ["--auth", "--port=80", "--token", CANARY, "--pg=postgres://app:x@db/shop"]}
    )
    assert orjson.loads(content) == {
        "env": [{"name": "A", "value": "[redacted:env]"}, env[1]],
        "args": [
            "--auth",
            "--port=80",
            "--token",
            "[redacted:argument]",
            "--pg=postgres://[redacted:url_credentials]@db/shop",
        ],
    }


def test_what_stands_at_both_places_is_counted_once() -> None:
    """An object with one field at a place that no kind has is looked through whole, and counted right."""
    env = [{"name": "A", "value": CANARY}]
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": CANARY, "a/token": CANARY}
    usual = {"metadata": {"managedFields": [{}], "annotations": annotations}, "spec": {"containers": [{"env": env}]}}
    content, counts = redacted({**usual, "status": {"env": [{"name": "B", "value": CANARY}, CANARY]}})
    assert CANARY.encode() not in content
    assert counts == {"env": 3, "last_applied": 1, "annotation": 1, "managed_fields": 1}


TEXT = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["--token", "token", 'a"b', "\\", '\\"', "--password=x y", "é", "\u2028", "x@y", "\x01", "[", ","]),
    st.sampled_from([hint.upper() for hint in HINTS]).map(lambda hint: f"{hint} {CANARY}"),
)
JSON = st.recursive(
    st.one_of(TEXT, st.integers(-5, 5), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def slowly(node: Any, counts: Any) -> Any:
    """The rules of strings applied by walking the object: what the scan of bytes must come to."""
    if isinstance(node, str):
        return redacted_text(node, counts)
    if isinstance(node, dict):
        return {redacted_text(key, counts): slowly(held, counts) for key, held in node.items()}
    return [slowly(item, counts) for item in node] if isinstance(node, list) else node


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=4), max_size=5))
def test_scan_of_bytes_comes_to_what_a_walk_over_every_string_comes_to(node: dict[str, Any]) -> None:
    """Whatever stands in a string (quotes, backslashes, control characters), each is judged alone and whole."""
    from collections import Counter

    redaction, counts = Redaction(), Counter[str]()
    text = orjson.dumps([node])
    found = redaction.strings(text, redaction.hits(text)[1])
    assert found == orjson.dumps([slowly(node, counts)])
    assert redaction.counts == counts


@given(JSON)
def test_any_object_stays_json_of_the_same_shape(node: Any) -> None:
    """Redaction changes strings and nothing else: what comes out parses, and again gives itself."""
    redaction = Redaction()
    once = redaction.json([{"spec": node}])
    parsed = orjson.loads(b"[" + once + b"]")
    assert Redaction().json(parsed) == once


@given(st.text(max_size=200), st.sampled_from([hint.upper() for hint in HINTS]))
def test_string_that_a_rule_changes_holds_a_hint(text: str, hint: str) -> None:
    """No rule matches a string that the scan would pass over."""
    from collections import Counter

    for one in (text, text + hint + text):
        if redacted_text(one, Counter()) != one:
            assert any(word in one.lower() for word in HINTS)
