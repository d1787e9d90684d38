"""The database's files and folder belong to the manager alone."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from manager.store.database import Store
from podsonar.errors import SettingsError


def test_files_are_readable_for_their_owner_alone(tmp_path: Path) -> None:
    """Those that SQLite makes beside it, and those that were there with another mode."""
    tmp_path.chmod(0o755)
    for name in ("m.db", "m.db-wal"):
        (tmp_path / name).touch(mode=0o644)
    with closing(Store(f"sqlite:///{tmp_path}/m.db")) as store:
        store.migrate()
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"m.db": 0o600, "m.db-wal": 0o600, "m.db-shm": 0o600}


@pytest.mark.parametrize("name", ["m.db", "m.db-wal", "m.db-shm"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_anything_else_in_the_place_of_a_file_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    """Nothing is followed, waited for or changed."""
    path, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    elsewhere.touch(mode=0o644)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(SettingsError, match="expected a regular file"):
        Store(f"sqlite:///{tmp_path}/m.db")
    assert elsewhere.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: only root gives a file to another user")
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could read and change everything."""
    (tmp_path / "m.db").touch(mode=0o666)
    os.chown(tmp_path / "m.db", 65534, 65534)
    with pytest.raises(SettingsError, match="is of user 65534"):
        Store(f"sqlite:///{tmp_path}/m.db")


def test_missing_folder_is_made_in_a_volume_that_every_user_may_write_to(tmp_path: Path) -> None:
    """An emptyDir has mode 2777: the manager's folder in it is its own, and there at the next start."""
    tmp_path.chmod(0o2777)
    for _ in range(2):
        Store(f"sqlite:///{tmp_path}/own/m.db").close()
        assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("mode", "good"), [(0o700, True), (0o770, True), (0o1777, True), (0o777, False), (0o702, False)]
)
def test_folder_in_which_every_user_may_replace_files_is_refused(tmp_path: Path, mode: int, good: bool) -> None:
    """A volume may be writable for its group; the sticky bit keeps others' files safe."""
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)
    if good:
        Store(f"sqlite:///{folder}/m.db").close()
        return
    with pytest.raises(SettingsError, match=f"has mode {mode:04o}"):
        Store(f"sqlite:///{folder}/m.db")
