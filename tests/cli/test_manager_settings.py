"""The manager's database and first tokens come from mounted files."""

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from cli.main import podsonar
from podsonar.errors import SettingsError


def manager(*arguments: str) -> Result:
    """What a `podsonar manager` command gives."""
    return CliRunner().invoke(podsonar, ["manager", *arguments])


def test_database_url_comes_from_the_file_and_its_line_end_is_left_out(tmp_path: Path) -> None:
    """A mounted Secret names the database, not the default."""
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path}/elsewhere.db\n")
    file = ("--database-file", str(tmp_path / "url"))
    assert manager("token", "create", "--agent", "shop", *file).exit_code == 0
    assert (tmp_path / "elsewhere.db").exists()
    rows = orjson.loads(manager("token", "list", "--json", *file).output)
    assert [row["name"] for row in rows] == ["shop"]


@pytest.mark.parametrize("content", [None, b"", b"secret-password", b"\xff"])
def test_database_file_without_a_url_is_refused_without_its_content(tmp_path: Path, content: bytes | None) -> None:
    """The sentence names setting and file, and repeats nothing of what the file holds."""
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    answer = manager("migrate", "--database-file", str(tmp_path / "url"))
    assert isinstance(answer.exception, SettingsError)
    assert "databaseFile" in str(answer.exception)
    assert "secret-password" not in str(answer.exception)
