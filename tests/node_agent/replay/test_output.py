"""The output of a replay is whole or as it was before, and never one of its inputs."""

import os
from pathlib import Path

import orjson

from podsonar.errors import InputError
from tests.node_agent.replay.replayed import BODY, LINE, run


def test_output_that_is_an_input_is_refused_and_nothing_is_destroyed(tmp_path: Path, taken: Path) -> None:
    """Under its name, by a link of either kind, and for the inventory, too."""
    inventory = tmp_path / "inventory"
    inventory.write_bytes(orjson.dumps(BODY))
    before = taken.read_bytes(), inventory.read_bytes()
    (tmp_path / "soft").symlink_to(taken)
    os.link(taken, tmp_path / "hard")
    for output in (taken, tmp_path / "soft", tmp_path / "hard", inventory):
        result = run(taken, "--inventory", inventory, "--output", output)
        assert isinstance(result.exception, InputError), output
    assert (taken.read_bytes(), inventory.read_bytes()) == before


def test_failed_replay_keeps_the_old_output(tmp_path: Path) -> None:
    """The output is whole or as it was before."""
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "bad").write_bytes(b"neither\n")
    assert isinstance(run(tmp_path / "bad", "--output", tmp_path / "out").exception, InputError)
    assert (tmp_path / "out").read_bytes() == b"old"
    (tmp_path / "log").write_text(LINE)
    assert run(tmp_path / "log", "--output", tmp_path / "out").exception is None
    assert len(orjson.loads((tmp_path / "out").read_bytes())["connectionList"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "log", "out"]


def test_output_to_a_device_is_written_to_it(tmp_path: Path) -> None:
    """A pipe or a device is not replaced by a file."""
    (tmp_path / "log").write_text(LINE)
    assert run(tmp_path / "log", "--output", "/dev/null").exception is None
    assert Path("/dev/null").is_char_device()
