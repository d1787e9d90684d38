"""Files of experiments and tasks: what can be read, and one sentence for what cannot."""

from pathlib import Path

import pytest

from cli.chaos.yaml_file import MOST_BYTES, read_yaml
from podsonar.errors import InputError


@pytest.mark.parametrize("content", ["a: [1, 2]", '{"a": [1, 2]}', "\ufeffa: [1, 2]"])
def test_yaml_and_json_are_read(tmp_path: Path, content: str) -> None:
    """With a byte order mark, too."""
    path = tmp_path / "task.yaml"
    path.write_text(content)
    assert read_yaml(path, "task file", "a task") == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [", "is not YAML: line 1, column 5; expected a task"),
        (b"a: \xff", "is not YAML: bytes that are no text; expected a task"),
        (b"[" * 100_000, "is not YAML: nests too deep; expected a task"),
        (b"a: {b: 18446744073709551616}", "number 18446744073709551616, expected a whole number of 64 bits"),
        (b"a: " + b"[" * 65 + b"]" * 65, "nests too deep, expected at most 64 levels"),
        (b"a: 1\na: 2", "is not YAML: line 2, column 1: a key that its mapping has already"),
        (b"a: !!binary aGFsbG8=", "is not YAML: line 1, column 4; expected a task"),
        (b"#" * (MOST_BYTES + 1), "it has more than 1 MiB; expected a task"),
        (None, "No such file or directory; expected a readable file"),
    ],
)
def test_other_files_are_one_sentence(tmp_path: Path, content: bytes | None, expected: str) -> None:
    """It names the file, and what was expected."""
    path = tmp_path / "task.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_yaml(path, "task file", "a task")
    assert str(raised.value).startswith(f"task file {str(path)!r}")
    assert expected in str(raised.value)
