"""What redaction takes out, by rule: free text, secrets of known shapes, and what no setting keeps."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.inventory.redacted_fields import Mode
from collector.k8s.kinds import KINDS
from tests.collector.inventory.secret_objects import CANARY, in_args, in_container, redacted

KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"
SHAPES = orjson.loads(Path(__file__).with_name("leaked_secrets.json").read_bytes())
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl"


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
