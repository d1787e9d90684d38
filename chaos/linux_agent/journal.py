"""What the agent has begun and what it has still to report, on disk before it happens.

A task is written down before anything is injected: after a crash it is reported as interrupted, never injected again.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import structlog

from podsonar import atomic_file
from podsonar.private_folder import make_private, open_regular, remove_unfinished

KEPT_ENTRIES = 2000
UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

log = structlog.get_logger()


def file_name(text: str) -> str:
    """A text as the name of a file."""
    return UNSAFE.sub("_", text)[:200]


class Journal:
    """Tasks by `lceUID`, and results by task."""

    def __init__(self, folder: Path) -> None:
        self.tasks, self.results = folder / "journal", folder / "results"
        for path in (folder, self.tasks, self.results):
            make_private(path)
            remove_unfinished(path)

    def task_file(self, lce_uid: str) -> Path:
        """The file of a task."""
        return self.tasks / f"{file_name(lce_uid)}.json"

    def has_begun(self, lce_uid: str) -> bool:
        """Whether a task was ever begun here."""
        return self.task_file(lce_uid).exists()

    def begin(self, task: dict[str, Any]) -> None:
        """Write a task down; it is on disk when this returns."""
        atomic_file.write(self.task_file(task["lceUID"]), orjson.dumps({"task": task, "isOver": False}))

    def finish(self, task: dict[str, Any], body: bytes) -> None:
        """Keep a task's result until it is taken, then note that the task is over."""
        kept = orjson.dumps({"taskName": task["taskName"], "body": body.decode()})
        atomic_file.write(self.results / f"{file_name(task['taskName'])}.json", kept)
        atomic_file.write(self.task_file(task["lceUID"]), orjson.dumps({"task": task, "isOver": True}))

    def interrupted(self) -> Iterator[dict[str, Any]]:
        """Tasks that were begun and have no result."""
        for path in sorted(self.tasks.glob("*.json")):
            entry = read_json(path)
            if entry and not entry.get("isOver"):
                yield entry["task"]

    def waiting(self) -> list[tuple[Path, str, bytes]]:
        """File, task and body of each result that has not been taken."""
        found = []
        for path in sorted(self.results.glob("*.json")):
            entry = read_json(path)
            if entry:
                found.append((path, str(entry["taskName"]), str(entry["body"]).encode()))
        return found

    def taken(self, path: Path) -> None:
        """The manager has the result."""
        path.unlink(missing_ok=True)

    def forget_old(self) -> None:
        """Delete the oldest tasks that are over, beyond 2,000: the manager hands none of them out again."""
        entries = sorted(self.tasks.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in entries[: max(0, len(entries) - KEPT_ENTRIES)]:
            entry = read_json(path)
            if entry is None or entry.get("isOver"):
                with contextlib.suppress(OSError):
                    path.unlink()


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None, with a log line, for a file that is broken."""
    try:
        with open_regular(path) as file:
            found = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError) as error:
        log.error("journal_entry_broken", file=path.name, error=type(error).__name__)  # noqa: TRY400 - one line
        return None
    return found if isinstance(found, dict) else None
