"""The programs of a cluster: found, or built once a machine from pinned, checksummed Go modules.

`KUBEBUILDER_ASSETS` first (it stands for the default version, the oldest), then a cache folder keyed by the hash of
the module's go.sum, then a build of some minutes. `find_or_build(("kube-apiserver", "etcd"), version=NEWEST)` gives
paths by name; tests run against every release with `@pytest.mark.parametrize("version", binaries.VERSIONS)` and
`ControlPlane(folder, version=version)`. `python -m lab.controlplane [PROGRAM ...]` builds ahead of time.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from discovery.errors import ApiServerError
from lab.controlplane.programs import MODULES, NEWEST, OLDEST, VERSIONS, Program, program
from lab.controlplane.toolchain import find_go

__all__ = ["EVERY_PROGRAM", "NEWEST", "NODE_PROGRAMS", "OLDEST", "VERSIONS", "find", "find_or_build"]

EVERY_PROGRAM = ("kube-apiserver", "etcd", "kubectl")
NODE_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def find(
    programs: Iterable[str] = EVERY_PROGRAM, environ: Mapping[str, str] = os.environ, version: str = OLDEST
) -> dict[str, Path] | None:
    """The programs that are here already, or None when one of them would have to be built."""
    wanted = tuple(programs)
    assets = environ.get("KUBEBUILDER_ASSETS")
    folders = [Path(assets)] if assets and version == OLDEST else []
    if all(os.access(folder / name, os.X_OK) for folder in folders for name in wanted) and folders:
        return {name: folders[0] / name for name in wanted}
    paths = {name: program(name, version).module.cache_folder(environ) / name for name in wanted}
    return paths if all(os.access(path, os.X_OK) for path in paths.values()) else None


def build(go: Path, name: str, wanted: Program, work: Path, environ: Mapping[str, str]) -> Path:
    """One program, built below the work folder from a copy of its module (the pinned files stay as they are)."""
    module = wanted.module
    modules = work / "gomod"
    if not modules.exists():
        shutil.copytree(MODULES, modules)
    target = work / name
    # GOROOT of another toolchain would mix two of them; a go.work above would add modules that nobody pinned.
    clean = {key: value for key, value in environ.items() if key != "GOROOT"}
    settings = {**clean, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    linker = f"-s -w -X {module.version_variable}" if module.version_variable else "-s -w"
    command = ["nice", str(go), "build", "-mod=mod", "-trimpath", "-tags=providerless", "-ldflags", linker]
    result = subprocess.run(
        [*command, "-o", str(target), wanted.package],
        cwd=modules / module.folder,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ApiServerError(f"{name} could not be built from {wanted.package}, expected success: {last[0]}")
    for file in ("go.mod", "go.sum"):
        if (modules / module.folder / file).read_bytes() != (MODULES / module.folder / file).read_bytes():
            raise ApiServerError(f"{name}: the build had to change {file}, expected every module pinned there")
    return target


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One holder at a time among all processes; released by the kernel even when the holder is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name: str, wanted: Program, report: Callable[[str], object], environ: Mapping[str, str]) -> Path:
    """The program in its cache folder; built there, whole or not at all, when it is missing."""
    folder = wanted.module.cache_folder(environ)
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not os.access(path, os.X_OK):
            go = find_go(environ, wanted.module.oldest_go, name)
            report(f"building {name}, once a machine (about {wanted.minutes} min) …")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as work:
                build(go, name, wanted, Path(work), environ).replace(path)
    return path


def find_or_build(
    programs: Iterable[str] = EVERY_PROGRAM,
    report: Callable[[str], object] = print,
    environ: Mapping[str, str] = os.environ,
    version: str = OLDEST,
) -> dict[str, Path]:
    """The programs; those that are not here are built, and appear in the cache whole or not at all."""
    wanted = {name: program(name, version) for name in programs}
    found = find(wanted, environ, version)
    if found is not None:
        return found
    return {name: cached(name, one, report, environ) for name, one in wanted.items()}
