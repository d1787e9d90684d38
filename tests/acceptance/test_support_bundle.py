"""The support bundle holds what helps, and no secret."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel
CANARY = "canary-4f1d-canary-4f1d"


def test_bundle_has_preflight_and_spool_and_no_secret(tmp_path: Path, repository: Path) -> None:
    """The token, a proxy's password and the content of a batch are in none of its files."""
    (tmp_path / "token").write_text(CANARY)
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "000000000001-c-1.batch").write_text(CANARY)
    words = ["--manager-token-file", str(tmp_path / "token"), "--spool-folder", str(tmp_path / "spool")]
    words += ["--proxy-url", f"http://me:{CANARY}@127.0.0.1:1", "--node-name", "node-a"]
    done = subprocess.run(
        [sys.executable, "-c", "from cli.main import main; main()", "agent", "support-bundle", *words, "bundle.tar.gz"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert CANARY not in done.stdout + done.stderr
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        files = {one.name: bundle.extractfile(one) for one in bundle.getmembers()}
        content = {name.rpartition("/")[2]: file.read().decode() for name, file in files.items() if file}
    assert set(content) == {"version.json", "settings.json", "preflight.json", "spool.json", "metrics.txt"}
    assert all(CANARY not in text for text in content.values())
    assert json.loads(content["settings.json"])["proxy"]["url"] == "http://[redacted:userinfo]@127.0.0.1:1"
    assert [one["name"] for one in json.loads(content["spool.json"])] == ["000000000001-c-1.batch"]
    assert {"name": "kernel", "state": "ok"}.items() <= json.loads(content["preflight.json"])[0].items()
