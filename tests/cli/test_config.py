"""`podsonar config check` prints what a program would start with."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.config import config
from cli.main import podsonar
from podsonar.errors import SettingsError


def test_good_settings_list_what_is_not_the_default(tmp_path: Path) -> None:
    """Two settings of the file and one of a flag are printed, and nothing else on stdout."""
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


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("program", "setting"),
    [
        ("manager", "--database=postgresql://podsonar:hunter2@db/podsonar"),
        ("manager", "--database=postgresql://podsonar:h/u@n:hunter2@db/podsonar"),
        ("manager", "--database=postgresql://db/podsonar?user=podsonar&password=hunter2&connect_timeout=5"),
        ("collector", "--proxy-url=http://u:hunter2@proxy.example:3128"),
        ("agent", "--proxy-https-proxy=http://u:hunter2@proxy.example:3128"),
    ],
)
def test_passwords_of_urls_are_not_printed(program: str, setting: str, form: list[str]) -> None:
    """What is checked in a pipeline stands in its log: the host stays, the password does not."""
    done = CliRunner().invoke(config, ["check", program, *form, setting], env={})
    assert done.exit_code == 0, done.output
    assert "hunter2" not in done.output
    assert "[redacted:" in done.stdout
    assert ("db/podsonar" in done.stdout) is (program == "manager")


@pytest.mark.parametrize(
    ("program", "text", "sentence"),
    [
        ("collector", "log: {level: loud}", "setting log.level is 'loud', expected debug, info, warning or error"),
        ("manager", "log: {format: xml}", "setting log.format is 'xml', expected text or json"),
        ("manager", "listen: here", "setting listen is 'here', expected host:port such as 0.0.0.0:9464"),
        (
            "agent",
            "metrics: {listen: here}",
            "setting metrics.listen is 'here', expected host:port such as 0.0.0.0:9464",
        ),
        ("agent", "manager: {url: 'ftp://x'}", "setting manager.url is 'ftp://x', expected https://host[:port]"),
        ("collector", "proxy: {url: 'socks://x'}", "setting proxy.url is not a proxy's URL, expected http://host:port"),
    ],
)
def test_value_that_a_program_would_refuse_as_it_starts_is_refused(
    tmp_path: Path, program: str, text: str, sentence: str
) -> None:
    """The right type is not enough: each program's own checks are made, too."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    done = CliRunner().invoke(podsonar, ["config", "check", program, "--config", str(file)], env={})
    assert isinstance(done.exception, SettingsError)
    assert str(done.exception) == sentence
