"""Fixtures of the kernel suite."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def storm(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storm program, compiled."""
    program = tmp_path_factory.mktemp("storm") / "storm"
    source = repository / "bench" / "storm.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", program, source], check=True)
    return program


@pytest.fixture
def tracefs() -> Iterator[None]:
    """Tracefs is mounted, which a perf tracepoint needs."""
    if Path("/sys/kernel/tracing/events").exists():
        yield
        return
    subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=True)
    yield
    subprocess.run(["umount", "/sys/kernel/tracing"], check=True)
