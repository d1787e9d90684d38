"""Settings come from flag, environment, file, default in that order; a mistake is one sentence."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.token_file import TokenFile
from podsonar.errors import SettingsError, TokenError
from podsonar.schedule import NS_PER_MINUTE, next_window
from podsonar.settings import AgentSettings
from podsonar.settings_sources import load

EXPRESSION = ("data", "cron", "expression")


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    """The nearer source wins."""
    file = tmp_path / "settings.yaml"
    file.write_text("data: {cron: {expression: '1 * * * *'}, collectionWindowInMin: 7}\nnode: {name: a}\n")
    environment = {"PODSONAR_DATA_CRON_EXPRESSION": "2 * * * *", "PODSONAR_DATA_OBSERVED_NAMESPACES": "a,b"}
    assert load(AgentSettings, file, environment, {}).data.cron.expression == "2 * * * *"
    settings = load(AgentSettings, file, environment, {EXPRESSION: "3 * * * *"})
    assert settings.data.cron.expression == "3 * * * *"
    assert settings.data.observed_namespaces == ["a", "b"]
    assert settings.data.collection_window_in_min == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data: {enableNodAgent: true}", ["data.enableNodAgent", "did you mean data.enableNodeAgent"]),
        ("data: {collectionWindowInMin: soon}", ["data.collectionWindowInMin", "'soon'", "int"]),
        ("data: {collectionWindowInMin: 0}", ["data.collectionWindowInMin", "0", ">= 1"]),
        ("data: {collectionWindowInMin: 0.1}", ["data.collectionWindowInMin", "0.1", ">= 0.25"]),
        ("data: 5", ["data", "5", "expected"]),
        ("[1]", ["list", "expected a mapping"]),
        ("a: [", ["not YAML: line 1, column 5"]),
    ],
)
def test_bad_file_names_key_value_and_expectation(tmp_path: Path, text: str, words: list[str]) -> None:
    """The sentence names what to change."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    for environment in ({}, {"PODSONAR_DATA_CRON_EXPRESSION": "1 * * * *"}):
        with pytest.raises(SettingsError) as error:
            load(AgentSettings, file, environment, {})
        assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("proxy: {url: 'http://u:hunter2'", {}),
        ("proxy: http://u:hunter2@h", {}),
        ("proxy: {url: ['http://u:hun/t@hunter2@h']}", {}),
        ("manager: {url: {a: 'http://h/?token=hunter2'}}", {}),
        ("proxy: hunter2: hunter2", {}),
        ("data: {cron: {expression: ['postgresql://u@h/d?sslpassword=hunter2&x=y']}}", {}),
        ("proxy: http://u:hunter2@h", {"PODSONAR_PROXY_URL": "http://h"}),
        ("", {"PODSONAR_KUBERNETES_LABELS": "{a: hunter2"}),
    ],
)
def test_bad_settings_show_no_password(tmp_path: Path, text: str, environment: dict[str, str]) -> None:
    """The sentence names the key, and nothing of a URL's password or of a line that is no YAML."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(AgentSettings, file, environment, {})
    assert "hunter2" not in str(error.value)


def test_bad_cron_names_the_setting_and_an_example() -> None:
    """A cron expression that cron would not take stops the program."""
    with pytest.raises(SettingsError, match=r'data\.cron\.expression .every hour.*"15 \* \* \* \*"'):
        next_window("every hour", 2, 0)


@given(st.integers(0, 4_000_000_000_000_000_000), st.integers(1, 59))
def test_window_starts_at_the_first_tick_not_before(after_ns: int, minutes: int) -> None:
    """A window starts at or after the asked time, within the period, on the tick."""
    window = next_window("15 * * * *", minutes, after_ns)
    assert after_ns <= window.start_ns < after_ns + 60 * NS_PER_MINUTE
    assert window.start_ns // NS_PER_MINUTE % 60 == 15
    assert window.end_ns - window.start_ns == minutes * NS_PER_MINUTE


def test_windows_shorter_than_a_minute_follow_each_other() -> None:
    """Half a minute, with six fields: each begins where the one before ended."""
    settings = load(AgentSettings, None, {"PODSONAR_DATA_COLLECTION_WINDOW_IN_MIN": "0.5"}, {})
    first = next_window("0,30 * * * * *", settings.data.collection_window_in_min, 61_000_000_000)
    following = next_window("0,30 * * * * *", settings.data.collection_window_in_min, first.end_ns)
    assert (first.start_ns, first.end_ns) == (90_000_000_000, 120_000_000_000)
    assert (following.start_ns, following.end_ns) == (120_000_000_000, 150_000_000_000)


def test_token_file_rotated_is_read_again_and_absent_keeps_the_last(tmp_path: Path) -> None:
    """A swapped file is used at the next read, without its line end; a gap in it loses nothing (rows 7, 9, 10)."""
    path = tmp_path / "token"
    path.write_text("a" * 20 + "\r\n")
    token = TokenFile(str(path))
    assert token.read() == "a" * 20
    path.unlink()
    assert token.read() == "a" * 20
    fresh = tmp_path / "fresh"
    fresh.write_text("b" * 21)
    os.replace(fresh, path)  # noqa: PTH105 - the swap that the kubelet makes
    assert token.read() == "b" * 21
    assert "b" * 21 not in repr(token)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 257, b"\xff" * 30])
def test_token_file_without_a_token_is_refused_unseen(tmp_path: Path, content: bytes) -> None:
    """What is no token is refused, and not shown."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(TokenError, match="expected 20 to 256 printable ASCII"):
        TokenFile(str(path)).read()
