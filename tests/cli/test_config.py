"""`podsonar config check` tells what a program would start with."""

import json
from pathlib import Path

from click.testing import CliRunner

from cli.config import config


def test_good_settings_list_what_is_not_the_default(tmp_path: Path) -> None:
    """Two settings of the file and one of a flag are told, and nothing else on stdout."""
    file = tmp_path / "agent.yaml"
    file.write_text("data: {collectionWindowInMin: 7, observedNamespaces: [a, b]}\n")
    done = CliRunner().invoke(config, ["check", "agent", "--config", str(file), "--node-name", "node-a"], env={})
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "data.observedNamespaces: a,b",
        "data.collectionWindowInMin: 7",
        "node.name: node-a",
    ]
    assert "3 differ" in done.stderr


def test_json_has_every_setting_under_its_name(tmp_path: Path) -> None:
    """One document; a file made of it is a settings file again."""
    done = CliRunner().invoke(config, ["check", "manager", "--json", "--listen", "127.0.0.1:9"])
    assert done.exit_code == 0, done.output
    body = json.loads(done.stdout)
    assert body["listen"] == "127.0.0.1:9"
    file = tmp_path / "again.yaml"
    file.write_text(done.stdout)
    again = CliRunner().invoke(config, ["check", "manager", "--json", "--config", str(file)])
    assert json.loads(again.stdout) == body
