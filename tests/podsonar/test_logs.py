"""What is logged cannot act on a terminal and cannot forge a line."""

import contextlib
import io
import json

import pytest
import structlog

from podsonar.errors import SettingsError
from podsonar.logs_and_probes import escape, start_logs

HOSTILE = "\x1b[2Jworm\r\nlevel=info event=forged\u202e\x9b31m\x00"


def test_row_62_control_and_direction_characters_are_shown_not_obeyed() -> None:
    """Each becomes its escape sequence; other text stays as it is, umlauts and all."""
    assert escape(HOSTILE) == "\\x1b[2Jworm\\r\\nlevel=info event=forged\\u202e\\x9b31m\\x00"
    assert escape("größer → 中") == "größer → 中"


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_value_stays_within_its_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One event is one line, whatever a value holds, as text and as JSON."""
    start_logs("info", form)
    structlog.get_logger().warning("seen", comm=HOSTILE, line_number=7)
    structlog.get_logger().debug("flow", line="a line of the debug log")
    said = capsys.readouterr().err
    structlog.reset_defaults()
    assert said.count("\n") == 1
    assert not [letter for letter in said.rstrip("\n") if not letter.isprintable()]
    if form == "json":
        assert json.loads(said)["comm"] == escape(HOSTILE)


def test_whole_line_is_written_bare_as_text_and_as_a_field_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a text log can be replayed; hostile characters in it are escaped too."""
    start_logs("debug", "text")
    structlog.get_logger().debug("flow", line="skiping \x1b[2J")
    start_logs("debug", "json")
    structlog.get_logger().debug("flow", line="skiping \x1b[2J")
    text, form = capsys.readouterr().err.splitlines()
    structlog.reset_defaults()
    assert text == "skiping \\x1b[2J"
    assert json.loads(form)["line"] == "skiping \\x1b[2J"


@pytest.mark.parametrize(("level", "form", "named"), [("loud", "text", "log.level"), ("info", "xml", "log.format")])
def test_unknown_level_or_format_is_a_settings_error(level: str, form: str, named: str) -> None:
    """The sentence names the setting."""
    with pytest.raises(SettingsError, match=named):
        start_logs(level, form)


@pytest.mark.parametrize("form", ["text", "json"])
def test_full_disk_ends_no_request_and_is_told_afterwards(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log line that cannot be written is nobody's error: /dev/full fails every write with ENOSPC."""
    with open("/dev/full", "w") as full, io.StringIO() as works:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", full)
        start_logs("info", form)
        for number in range(3):
            structlog.get_logger().error("database_failed", number=number)
        stream = structlog.get_config()["logger_factory"]._file
        stream.stream = works
        structlog.get_logger().info("well")
        first, second = works.getvalue().splitlines()
        structlog.reset_defaults()
        with contextlib.suppress(OSError):
            full.close()
    assert "log_stream_failed" in first
    assert "3" in first
    assert "well" in second
    if form == "json":
        assert json.loads(first) == {"event": "log_stream_failed", "level": "error", "lines": 3}
