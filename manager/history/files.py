"""Where the files of history lie: in a folder, or in the database where several managers share one."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from manager.store.database import Store
from manager.store.maps.windows import delete_file, list_files, read_file, write_file
from podsonar.errors import HistoryFileError, StoreError


class HistoryFiles(Protocol):
    """Files by agent and name, such as `edges/20261124T101500Z-r1.parquet`."""

    def read(self, agent_id: str, name: str) -> bytes:
        """A file's content; HistoryFileError if it is not there."""

    def write(self, agent_id: str, name: str, body: bytes) -> None:
        """Write a file that is on disk when this returns, whole or not at all."""

    def delete(self, agent_id: str, name: str) -> None:
        """Delete a file, if it is there."""

    def names(self, agent_id: str, folder: str) -> list[str]:
        """The names of the files below a folder, sorted."""

    def forget_others(self, agent_ids: Collection[str]) -> None:
        """Delete the files of agents that are not there any more."""


class FolderFiles:
    """Files below a folder that its owner alone can read: they hold what runs in clusters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, agent_id: str, name: str) -> bytes:
        """A file's content."""
        try:
            return (self.folder / agent_id / name).read_bytes()
        except FileNotFoundError as error:
            raise HistoryFileError(f"history folder {str(self.folder)!r} has no file {name!r}") from error
        except OSError as error:
            raise self.failed(name, error) from error

    def write(self, agent_id: str, name: str, body: bytes) -> None:
        """Write to a file beside it, and rename."""
        path = self.folder / agent_id / name
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                unfinished.chmod(0o600)
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise self.failed(name, error) from error

    def delete(self, agent_id: str, name: str) -> None:
        """Delete a file, if it is there."""
        try:
            (self.folder / agent_id / name).unlink(missing_ok=True)
        except OSError as error:
            raise self.failed(name, error) from error

    def names(self, agent_id: str, folder: str) -> list[str]:
        """The names of the files below a folder."""
        below = (self.folder / agent_id / folder).glob("*.parquet")
        return sorted(f"{folder}/{path.name}" for path in below if not path.name.startswith("."))

    def forget_others(self, agent_ids: Collection[str]) -> None:
        """Delete the folders of agents that are not there any more."""
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.is_dir() and path.name not in agent_ids:
                shutil.rmtree(path, ignore_errors=True)

    def failed(self, name: str, error: OSError) -> StoreError:
        """The error in one sentence."""
        return StoreError(f"history folder {str(self.folder)!r}, file {name!r}: {error.strerror}")


class DatabaseFiles:
    """Files as rows of the database; they go with their agent."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self, agent_id: str, name: str) -> bytes:
        """A file's content."""
        body = read_file(self.store, agent_id, name)
        if body is None:
            raise HistoryFileError(f"history file {name!r} is not in the database")
        return body

    def write(self, agent_id: str, name: str, body: bytes) -> None:
        """Write a row."""
        write_file(self.store, agent_id, name, body)

    def delete(self, agent_id: str, name: str) -> None:
        """Delete a row, if it is there."""
        delete_file(self.store, agent_id, name)

    def names(self, agent_id: str, folder: str) -> list[str]:
        """The names of the files below a folder."""
        return list_files(self.store, agent_id, folder)

    def forget_others(self, agent_ids: Collection[str]) -> None:
        """Nothing: `purge` deletes an agent's rows."""


def open_files(store: Store, folder: str) -> HistoryFiles:
    """Files in the folder that is set; without one, beside the file of SQLite, or in the database."""
    if folder:
        return FolderFiles(Path(folder))
    url = store.engine.url
    in_file = url.drivername.startswith("sqlite") and url.database and url.database != ":memory:"
    if in_file and not str(url.database).startswith("file:"):
        return FolderFiles(Path(str(url.database)).with_suffix(".history"))
    return DatabaseFiles(store)
