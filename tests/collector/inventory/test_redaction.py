"""What is taken out, and what must stay: names, labels, selectors, images, ports and references."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.inventory.redacted_fields import Mode
from collector.inventory.redacted_text import HINTS, redacted_text
from collector.inventory.redaction import Redaction
from collector.k8s.kinds import KINDS
from podsonar.errors import SettingsError

CANARY = "canary-3f9a"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"
SHAPES = orjson.loads(Path(__file__).with_name("leaked_secrets.json").read_bytes())
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


def redacted(obj: dict[str, Any], mode: Mode = "structure", kind: str = "Pod") -> tuple[bytes, dict[str, int]]:
    """The object's JSON without secrets, and what was counted."""
    redaction = Redaction(mode)
    return redaction.json(kind, [orjson.loads(orjson.dumps(obj))]), dict(redaction.counts)


def in_args(*args: str) -> dict[str, Any]:
    """A pod with arguments."""
    return {"spec": {"containers": [{"name": "app", "args": list(args)}]}}


def in_container(**fields: Any) -> dict[str, Any]:
    """A pod with a container that has these fields."""
    return {"spec": {"containers": [{"name": "app", **fields}]}}


def in_annotation(text: str) -> dict[str, Any]:
    """A pod with an annotation that is nobody's."""
    return {"metadata": {"annotations": {"example.com/config": text}}}


FREE_TEXT = [
    (in_container(command=[CANARY]), "command"),
    (in_args(CANARY), "args"),
    (in_container(env=[{"name": "A", "value": CANARY}]), "env"),
    (in_container(livenessProbe={"exec": {"command": [CANARY]}}), "exec_command"),
    (in_container(lifecycle={"preStop": {"exec": {"command": [CANARY]}}}), "exec_command"),
    (in_container(startupProbe={"httpGet": {"httpHeaders": [{"name": "A", "value": CANARY}]}}), "http_header"),
    (in_container(securityContext={"windowsOptions": {"gmsaCredentialSpec": CANARY}}), "credential_spec"),
    ({"spec": {"ephemeralContainers": [{"args": [CANARY]}]}}, "args"),
    ({"spec": {"volumes": [{"csi": {"volumeAttributes": {"share": CANARY}}}]}}, "volume_options"),
    ({"spec": {"volumes": [{"flexVolume": {"options": {"share": CANARY}}}]}}, "volume_options"),
    (in_annotation(CANARY), "annotation"),
    ({"metadata": {"annotations": {"example.com/api-token": CANARY}}}, "annotation"),
    ({"metadata": {"annotations": {"prometheus.io/port": CANARY}}}, "annotation"),
    ({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": CANARY}}}, "last_applied"),
    ({"metadata": {"annotations": {"consul.hashicorp.com/original-pod": CANARY}}}, "last_applied"),
    ({"metadata": {"managedFields": [{"fieldsV1": {CANARY: {}}}]}}, "managed_fields"),
    ({"metadata": {"labels": {"password": CANARY}}}, "label"),
    ({"spec": {"nodeSelector": {"api-key": CANARY}}}, "selector"),
    ({"status": {"message": CANARY}}, "message"),
    ({"status": {"conditions": [{"message": CANARY}]}}, "message"),
    ({"status": {"containerStatuses": [{"lastState": {"terminated": {"message": CANARY}}}]}}, "message"),
    ({"spec": {"somewhereNew": {"env": [CANARY], CANARY: 1}}}, "unknown_field"),
    ({"spec": {"somewhereNew": CANARY}}, "unknown_field"),
    ({"spec": {"somewhereNew": [7, CANARY]}}, "unknown_field"),
    ({"spec": {"livenessProbe": {"httpGet": {"path": f"/health?token={CANARY}"}}}}, "unknown_field"),
    ({"spec": {"nodeName": {"of": CANARY}}}, "unknown_field"),
    ({"spec": {"containers": [CANARY]}}, "unknown_field"),
    ({"spec": {"containers": CANARY}}, "unknown_field"),
    ({"spec": {"tolerations": [{"key": [[CANARY]]}]}}, "unknown_field"),
    ({"metadata": {"labels": {"app": {"of": CANARY}}}}, "unknown_field"),
    ({"metadata": CANARY}, "unknown_field"),
]


@pytest.mark.parametrize(("obj", "rule"), FREE_TEXT)
def test_free_text_does_not_leave_and_is_counted(obj: dict[str, Any], rule: str) -> None:
    """An arbitrary word stays in the cluster wherever people write what they like, and where no field is known."""
    content, counts = redacted(obj)
    assert CANARY.encode() not in content
    assert counts == {rule: 1}
    orjson.loads(b"[" + content + b"]")


@pytest.mark.parametrize(
    "kind", [kind.name for kind in KINDS if kind.name not in ("Namespace", "Node", "Service", "Pod")]
)
def test_free_text_of_a_template_does_not_leave_either(kind: str) -> None:
    """A workload's template is redacted as its pods are."""
    template = {
        "metadata": {"annotations": {"a": CANARY}},
        "spec": {"containers": [{"args": [CANARY], "image": "a:1"}]},
    }
    spec: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"metadata": {"annotations": {"a": CANARY}}, "spec": spec}}
    content, counts = redacted({"spec": spec}, kind=kind)
    assert CANARY.encode() not in content
    assert b'"image":"a:1"' in content
    assert counts == {"annotation": 1 + (kind == "CronJob"), "args": 1}


def test_numbers_of_an_unknown_field_stay_and_marks_are_not_marked_again() -> None:
    """A field of a newer API keeps what can be no text; an object that was redacted is not redacted again."""
    obj = {"spec": {"newCount": 7, "newSwitch": True, "newNothing": None, "newList": [], "newText": "x"}}
    content, counts = redacted(obj)
    assert orjson.loads(content)["spec"] == {**obj["spec"], "newText": "[redacted:unknown_field]"}
    assert counts == {"unknown_field": 1}
    assert redacted(orjson.loads(content)) == (content, {})


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape["id"])
def test_secret_of_a_known_shape_does_not_leave(shape: dict[str, Any]) -> None:
    """How people and programs have leaked secrets into objects: nothing of it leaves."""
    content, counts = redacted(shape["object"], kind=shape.get("kind", "Pod"))
    assert not [secret for secret in shape["secrets"] if secret.encode() in content]
    assert counts


PATTERNS = [
    (in_args("--db-password", CANARY), "argument"),
    (in_args("--db-password", f"-{CANARY}"), "argument"),
    (in_args("--password=", CANARY), "argument"),
    (in_args("[ -f x ]", "PGPASSWORD", CANARY), "argument"),
    (in_args(f"--token={CANARY}"), "argument"),
    (in_args(f"--token={CANARY},b;c&{CANARY}"), "argument"),
    (in_args(f'--password="two {CANARY}"'), "argument"),
    (in_args(f"--set=auth.rootPassword: 'two {CANARY}'"), "argument"),
    (in_args("sh", "-c", f"exec app --api-key {CANARY} --port 80"), "argument"),
    (in_args("sh", "-c", f"exec app --password \\\n {CANARY}"), "argument"),
    (in_args("sh", "-c", f"API_KEY='{CANARY} x' exec app"), "argument"),
    (in_args("sh", "-c", f"exec app --access-key 'a {CANARY}'"), "argument"),
    (in_args(f'{{"db": {{"password": "{CANARY}"}}}}'), "argument"),
    (in_args(f'{{\\"password\\": \\"a {CANARY}\\"}}'), "argument"),
    (in_args("-H", f"Authorization: Bearer {CANARY}"), "argument"),
    (in_args("-H", f"Authorization: Splunk {CANARY}"), "argument"),
    (in_args("-H", f"X: basic {CANARY}"), "authorization"),
    (in_args(f"host=db;Password={CANARY};user=app"), "argument"),
    (in_args(f"--token{'a' * 80}={CANARY}"), "argument"),
    (in_args(f"https://x.example/?a=b&token={CANARY}"), "argument"),
    (in_args(f"postgres://app:{CANARY}@db/shop"), "url_credentials"),
    (in_args(f"redis://:{CANARY}@db/0"), "url_credentials"),
    (in_args(f"amqp://app:p@{CANARY}/x@db/0"), "url_credentials"),
    (in_args(f"https://{CANARY}-0123456789@git.example/x"), "url_credentials"),
    (in_args(f"https://a.example:80/x@y,https://u:{CANARY}@b.example"), "url_credentials"),
    (in_args(f"sk_live_{CANARY.replace('-', '')}00000000"), "vendor_token"),
    (in_args(f"glrt-{CANARY}"), "gitlab_token"),
    (in_args(f"xapp-1-A012-{CANARY}"), "slack_token"),
    (in_args("eyJhbGciOiJIUzI1NiIsInR5cCI6Zq7CanaryX9"), "jwt"),
    ({"spec": {"somewhereNew": {"args": ["--token", CANARY]}}}, "argument"),
    (in_annotation(f"--token={CANARY}"), "argument"),
    ({"status": {"message": KEY}}, "private_key"),
    ({"status": {"message": KEY[:-30]}}, "private_key"),
    ({"status": {"message": "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpjYW5hcnktM2Y5YQ=="}}, "private_key"),
    ({"status": {"message": JWT}}, "jwt"),
    ({"status": {"message": f'escaped \\" quote and "quotes" then --token={CANARY}'}}, "argument"),
]


@pytest.mark.parametrize(("obj", "rule"), PATTERNS)
def test_secret_in_kept_text_is_taken_out_and_counted(obj: dict[str, Any], rule: str) -> None:
    """Where free text leaves since it was asked for, what looks like a credential does not; it is counted once."""
    content, counts = redacted(obj, "patterns")
    gone = (CANARY, JWT, "canary3f9a", "CanaryX9", "pjYW5hcnkt")
    assert not [word for word in gone if word.encode() in content]
    assert counts == {rule: 1}
    orjson.loads(b"[" + content + b"]")


@pytest.mark.parametrize("mode", ["structure", "patterns"])
@pytest.mark.parametrize(
    ("obj", "rule"),
    [
        (in_container(image=f"user:{CANARY}@reg.example/x"), "image_credentials"),
        (in_container(image=f"x?token={CANARY}"), "argument"),
        (in_container(livenessProbe={"httpGet": {"path": f"/health?token={CANARY}"}}), "argument"),
        ({"spec": {"volumes": [{"gitRepo": {"repository": f"https://u:{CANARY}@git.example/x"}}]}}, "url_credentials"),
        ({"metadata": {"labels": {"a": "AKIACANARY3F9A000000"}}}, "aws_key"),
        ({"metadata": {"labels": {"ghp_canary3f9a0000": "x"}}}, "github_token"),
        ({"metadata": {"labels": {"x": "xoxb-canary-3f9a"}}}, "slack_token"),
    ],
)
def test_secret_in_a_structural_string_is_taken_out(obj: dict[str, Any], rule: str, mode: Mode) -> None:
    """Names, images, paths and references leave; a credential that somebody put into one does not."""
    content, counts = redacted(obj, mode)
    gone = (CANARY, "AKIACANARY", "canary3f9a", "xoxb")
    assert not [word for word in gone if word.encode() in content]
    assert counts == {rule: 1}


@pytest.mark.parametrize("mode", ["structure", "patterns"])
@pytest.mark.parametrize(
    ("place", "obj"),
    [
        ("env", in_container(env=[{"name": "A", "value": CANARY}])),
        ("header", in_container(livenessProbe={"httpGet": {"httpHeaders": [{"name": "A", "value": CANARY}]}})),
        ("annotation", {"metadata": {"annotations": {"a/token": CANARY}}}),
        ("copy", {"metadata": {"annotations": {"consul.hashicorp.com/original-pod": CANARY}}}),
        ("label", {"metadata": {"labels": {"password": CANARY}}}),
    ],
)
def test_what_never_leaves_is_kept_by_no_setting(place: str, obj: dict[str, Any], mode: Mode) -> None:
    """Environment, headers, copies of objects and what is named a secret: whatever the settings say."""
    assert CANARY.encode() not in redacted(obj, mode)[0], place


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


def test_nul_in_any_string_is_replaced_and_counted() -> None:
    """A NUL that a program printed voids nothing: it becomes U+FFFD in keys and values alike."""
    pod = {"metadata": {"name": "a\0b", "labels": {"x\0": "y"}}, "status": {"reason": "\0\\u0000"}}
    content, counts = redacted(pod)
    assert b"\\u0000" not in content.replace(b"\\\\u0000", b"")
    assert orjson.loads(content)["status"]["reason"] == "\ufffd\\u0000"
    assert counts == {"nul": 3}


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
        return redacted_text(node, counts, structural=True)
    if isinstance(node, dict):
        return {redacted_text(key, counts, structural=True): slowly(held, counts) for key, held in node.items()}
    return [slowly(item, counts) for item in node] if isinstance(node, list) else node


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=4), max_size=5))
def test_scan_of_bytes_comes_to_what_a_walk_over_every_string_comes_to(node: dict[str, Any]) -> None:
    """Whatever stands in a string (quotes, backslashes, control characters), each is judged alone and whole."""
    redaction, counts = Redaction(), Counter[str]()
    text = orjson.dumps([node])
    found = redaction.strings(text)
    assert found == orjson.dumps([slowly(node, counts)])
    assert redaction.counts == counts


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(JSON, st.sampled_from(["structure", "patterns"]), st.sampled_from([kind.name for kind in KINDS]))
def test_any_object_becomes_json_that_is_not_changed_again(node: Any, mode: Mode, kind: str) -> None:
    """Whatever stands where, what comes out parses, and redacted again it gives itself."""
    for obj in ({"spec": node}, {"metadata": node, "status": node}, {"spec": {"containers": [node], "template": node}}):
        once = Redaction(mode).json(kind, [orjson.loads(orjson.dumps(obj))])
        parsed = orjson.loads(b"[" + once + b"]")
        assert Redaction(mode).json(kind, parsed) == once


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(JSON)
def test_no_string_of_an_unknown_field_leaves(node: Any) -> None:
    """Of a field that no table has, no text leaves, however deep it stands."""
    content, _ = redacted({"spec": {"fieldOfTomorrow": [node, CANARY, {"x": {CANARY: [CANARY]}}]}})
    assert content == b'{"spec":{"fieldOfTomorrow":"[redacted:unknown_field]"}}'


@settings(deadline=None)  # a busy machine is no failure; the time has tests of its own
@given(st.text(max_size=200), st.sampled_from([hint.upper() for hint in HINTS]))
def test_string_that_a_rule_changes_holds_a_hint(text: str, hint: str) -> None:
    """No rule matches a string that the scan would pass over."""
    for candidate in (text, text + hint + text):
        for structural in (False, True):
            if redacted_text(candidate, Counter(), structural=structural) != candidate:
                assert any(word.encode() in candidate.encode().lower() for word in HINTS)
