"""Recorded outputs: what a program prints or answers is compared with a file beside these tests.

`GOLDEN=write pytest tests/golden` replaces the files by what is printed today, and fails for each that changed: read
the difference with git before it is committed, since a user's script may depend on what was there.
"""

import difflib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
BREAK_AFTER = (",", "{")  # a JSON document is one line: the difference is shown by its fields

Golden = Callable[[str, str], None]
GoldenNames = Callable[[str, Iterable[str]], None]


def recorded(name: str) -> str:
    """The content of a recorded file; nothing where there is none."""
    path = FOLDER / name
    return path.read_bytes().decode() if path.exists() else ""


def record_if_asked(name: str, text: str) -> None:
    """Replace the recorded file where the environment asks for it."""
    if os.environ.get("GOLDEN") == "write":
        (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_bytes(text.encode())


def fields(text: str) -> list[str]:
    """The text in lines that are short enough to compare by eye."""
    for character in BREAK_AFTER:
        text = text.replace(character, f"{character}\n")
    return text.splitlines()


@pytest.fixture
def golden() -> Golden:
    """Fails with the difference where a text is not the content of the named file, byte for byte."""

    def compare(name: str, text: str) -> None:
        before = recorded(name)
        if text != before:
            record_if_asked(name, text)
            lines = difflib.unified_diff(fields(before), fields(text), f"recorded {name}", "now", lineterm="", n=1)
            pytest.fail("\n".join(lines), pytrace=False)

    return compare


@pytest.fixture
def golden_names() -> GoldenNames:
    """Fails where a line of the named file is not among the names; further ones break nobody."""

    def compare(name: str, names: Iterable[str]) -> None:
        now, before = sorted(set(names)), recorded(name).splitlines()
        if now != before:
            record_if_asked(name, "\n".join(now) + "\n")
        gone = sorted(set(before) - set(now))
        if gone or not before:
            pytest.fail(f"{name}: no longer there: {gone}", pytrace=False)

    return compare
