"""podsonar/input_file.py: files that are too large, in the unit of their limit."""

from pathlib import Path

import pytest

from podsonar.errors import InputError
from podsonar.input_file import read_input


@pytest.mark.parametrize(("most_bytes", "said"), [(64 << 10, "more than 64 KiB"), (2 << 20, "more than 2 MiB")])
def test_file_beyond_its_limit_is_refused_with_the_limit(tmp_path: Path, most_bytes: int, said: str) -> None:
    """One byte more is; the limit itself is read."""
    file = tmp_path / "given"
    file.write_bytes(b"x" * most_bytes)
    assert len(read_input(file, "authority file", most_bytes, "PEM")) == most_bytes
    file.write_bytes(b"x" * (most_bytes + 1))
    with pytest.raises(InputError, match=f"authority file .*given.: it has {said}; expected PEM"):
        read_input(file, "authority file", most_bytes, "PEM")
