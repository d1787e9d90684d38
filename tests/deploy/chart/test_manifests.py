"""The manifests for `kubectl apply` are the chart's, and their token Secret is what the manager takes in."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import yaml

from lab.controlplane.binaries import find_or_build
from manager.store.tokens.import_file import read_tokens
from manager.store.tokens.token_format import digest, parse
from tests.deploy.conftest import Chart

SECRETS = ["podsonar-ingest-token", "podsonar-read-key", "podsonar-token-hashes"]


def test_manifests_are_what_the_chart_renders(chart: Chart, repository: Path) -> None:
    """deploy/manifests/podsonar.yaml is `make manifests` of today's chart, byte for byte."""
    script = repository / "deploy/manifests/render.sh"
    rendered = subprocess.run([script, chart.helm], capture_output=True, text=True, check=True).stdout
    assert (repository / "deploy/manifests/podsonar.yaml").read_text() == rendered


def test_manifests_that_the_manager_fills_in_are_what_the_chart_renders(chart: Chart, repository: Path) -> None:
    """manager/installations/agent.yaml is `make manifests` of today's chart, byte for byte."""
    script = repository / "deploy/manifests/render.sh"
    rendered = subprocess.run([script, chart.helm, "agent"], capture_output=True, text=True, check=True).stdout
    assert (repository / "manager/installations/agent.yaml").read_text() == rendered


def test_kustomization_puts_the_images_where_one_wants_them(repository: Path, tmp_path: Path) -> None:
    """Kubectl builds the folder as the base of another, with all three images from another registry."""
    shutil.copytree(repository / "deploy/manifests", tmp_path / "base")
    parts = ("collector", "manager", "node-agent")
    images = [{"name": f"localhost/podsonar-{part}", "newName": f"registry.example/{part}"} for part in parts]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["base"], "images": images}))
    kubectl = find_or_build(("kubectl",))["kubectl"]
    built = subprocess.run([kubectl, "kustomize", tmp_path], capture_output=True, text=True, check=True).stdout
    expected = list(yaml.safe_load_all((repository / "deploy/manifests/podsonar.yaml").read_text()))
    assert len(list(yaml.safe_load_all(built))) == len(expected)
    assert built.count("image: registry.example/") == 3
    assert "localhost/" not in built


def test_manifests_hold_no_secret(repository: Path) -> None:
    """Tokens are made by tokens.sh: none is in the repository."""
    documents = yaml.safe_load_all((repository / "deploy/manifests/podsonar.yaml").read_text())
    assert "Secret" not in {one["kind"] for one in documents}


def test_token_script_makes_tokens_and_the_hashes_that_the_manager_takes_in(repository: Path, tmp_path: Path) -> None:
    """Both tokens have the manager's shape, and tokens.json holds their hashes, and no secret."""
    script = repository / "deploy/manifests/tokens.sh"
    said = [subprocess.run([script, "shop"], capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0] != said[1]
    parts = [one for one in yaml.safe_load_all(said[0]) if one]
    assert [one["metadata"]["name"] for one in parts] == SECRETS
    assert all(len(one["stringData"]) == 1 for one in parts)
    data = {key: value for one in parts for key, value in one["stringData"].items()}
    path = tmp_path / "tokens.json"
    path.write_text(data["tokens.json"])
    for text, row in zip((data["token"], data["read-key"]), read_tokens(path), strict=True):
        token = parse(text)
        assert token is not None
        assert (row.id, row.secret_sha256) == (token.id, digest(token))
        assert token.secret not in data["tokens.json"]


def test_charts_own_secrets_hold_a_token_a_key_and_the_hashes_of_both(chart: Chart, tmp_path: Path) -> None:
    """A Secret each, so that a right to read one gives no other; the hashes have the shape that the manager imports."""
    secrets = [one for one in chart.template() if one["kind"] == "Secret"]
    assert sorted(one["metadata"]["name"] for one in secrets) == sorted(SECRETS)
    assert all(len(one["data"]) == 1 for one in secrets)
    data = {key: base64.b64decode(value).decode() for one in secrets for key, value in one["data"].items()}
    path = tmp_path / "tokens.json"
    path.write_text(data["tokens.json"])
    rows = read_tokens(path)
    assert [(row.scope, row.name) for row in rows] == [("ingest", "default"), ("read", "helm")]
    for text, row in zip((data["token"], data["read-key"]), rows, strict=True):
        token = parse(text)
        assert token is not None
        assert (row.id, row.secret_sha256) == (token.id, hashlib.sha256(token.secret.encode()).hexdigest())
