"""The manifests for `kubectl apply` are the chart's, and their token Secret is what the manager takes in."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import yaml

from lab.controlplane.binaries import find_or_build
from manager.store.token_format import digest, parse
from manager.store.token_import import read_tokens
from tests.deploy.conftest import Chart


def test_manifests_are_what_the_chart_renders(chart: Chart, repository: Path) -> None:
    """deploy/manifests/podsonar.yaml is `make manifests` of today's chart, byte for byte."""
    script = repository / "deploy/manifests/render.sh"
    rendered = subprocess.run([script, chart.helm], capture_output=True, text=True, check=True).stdout
    assert (repository / "deploy/manifests/podsonar.yaml").read_text() == rendered


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
    data = yaml.safe_load(said[0])["stringData"]
    path = tmp_path / "tokens.json"
    path.write_text(data["tokens.json"])
    for text, row in zip((data["token"], data["read-key"]), read_tokens(path), strict=True):
        token = parse(text)
        assert token is not None
        assert (row.id, row.secret_sha256) == (token.id, digest(token))
        assert token.secret not in data["tokens.json"]


def test_charts_own_secret_holds_tokens_and_their_hashes(chart: Chart, tmp_path: Path) -> None:
    """The Secret of the first install has the shape that the manager imports."""
    (secret,) = [one for one in chart.template() if one["kind"] == "Secret"]
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    path = tmp_path / "tokens.json"
    path.write_text(data["tokens.json"])
    rows = read_tokens(path)
    assert [(row.scope, row.name) for row in rows] == [("ingest", "default"), ("read", "helm")]
    for text, row in zip((data["token"], data["read-key"]), rows, strict=True):
        token = parse(text)
        assert token is not None
        assert (row.id, row.secret_sha256) == (token.id, hashlib.sha256(token.secret.encode()).hexdigest())
