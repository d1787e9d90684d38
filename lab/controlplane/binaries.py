"""Finds the programs of a cluster, or builds them once per machine from pinned, checksummed Go modules.

`KUBEBUILDER_ASSETS` first (for the default version, the oldest), then a cache folder keyed by the hash of the module's
go.sum, then a build of some minutes. `find_or_build(("kube-apiserver", "etcd"), version=NEWEST)` returns paths by name;
tests run against every release with `@pytest.mark.parametrize("version", binaries.VERSIONS)` and `ControlPlane(folder,
version=version)`. `python -m lab.controlplane [PROGRAM ...]` builds ahead of time.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lab.controlplane.programs import MODULES, NEWEST, OLDEST, VERSIONS, Program, find_program
from lab.controlplane.toolchain import build_command, build_environ, find_go
from podsonar.errors import ApiServerError

__all__ = ["EVERY_PROGRAM", "NEWEST", "NODE_PROGRAMS", "OLDEST", "VERSIONS", "find", "find_or_build"]

EVERY_PROGRAM = ("kube-apiserver", "etcd", "kubectl")
NODE_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def find(
    programs: Iterable[str] = EVERY_PROGRAM, environ: Mapping[str, str] = os.environ, version: str = OLDEST
) -> dict[str, Path] | None:
    """The paths of the programs if all are here already; None if one would have to be built."""
    wanted = tuple(programs)
    assets = environ.get("KUBEBUILDER_ASSETS")
    folders = [Path(assets)] if assets and version == OLDEST else []
    if all(os.access(folder / name, os.X_OK) for folder in folders for name in wanted) and folders:
        return {name: folders[0] / name for name in wanted}
    paths = {name: find_program(name, version).module.cache_folder(environ) / name for name in wanted}
    return paths if all(os.access(path, os.X_OK) for path in paths.values()) else None


def build(go: Path, wanted: Mapping[str, Program], work: Path, environ: Mapping[str, str]) -> dict[str, Path]:
    """Build programs of one module below the work folder, from a copy: the pinned files stay unchanged.

    One command builds them all: while one program links, another one compiles.
    """
    module = next(iter(wanted.values())).module
    modules = work / "gomod"
    shutil.copytree(MODULES, modules)
    command = [*build_command(go, module.variables), "-mod=mod", "-tags=providerless"]
    built = {name: work / name for name in wanted}
    (output,) = built.values() if len(built) == 1 else [work]  # several programs are named after their packages
    names = ", ".join(wanted)
    result = subprocess.run(
        [*command, "-o", str(output), *(spec.package for spec in wanted.values())],
        cwd=modules / module.folder,
        env=build_environ(environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ApiServerError(f"{names} could not be built from {module.folder!r}, expected success: {last[0]}")
    for file in ("go.mod", "go.sum"):
        if (modules / module.folder / file).read_bytes() != (MODULES / module.folder / file).read_bytes():
            raise ApiServerError(f"{names}: the build had to change {file}, expected every module pinned there")
    return built


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock among all processes; the kernel releases it even if the holder is killed."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_in_cache(
    wanted: Mapping[str, Program], report: Callable[[str], object], environ: Mapping[str, str]
) -> dict[str, Path]:
    """Programs of one module in its cache folder; builds what is missing, each program completely or not at all."""
    module = next(iter(wanted.values())).module
    folder = module.cache_folder(environ)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder.with_name(f"{folder.name}.lock")):
        missing = {name: spec for name, spec in wanted.items() if not os.access(folder / name, os.X_OK)}
        if missing:
            names = ", ".join(missing)
            go = find_go(environ, module.oldest_go, names)
            report(f"building {names}, once a machine (some minutes) …")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix="build-") as work:
                for name, path in build(go, missing, Path(work), environ).items():
                    path.replace(folder / name)
    return {name: folder / name for name in wanted}


def find_or_build(
    programs: Iterable[str] = EVERY_PROGRAM,
    report: Callable[[str], object] = print,
    environ: Mapping[str, str] = os.environ,
    version: str = OLDEST,
) -> dict[str, Path]:
    """The paths of the programs; builds those that are missing and puts each completely into the cache."""
    wanted = {name: find_program(name, version) for name in programs}
    found = find(wanted, environ, version)
    if found is None:
        found = {}
        for module in dict.fromkeys(spec.module for spec in wanted.values()):
            found |= build_in_cache(
                {name: spec for name, spec in wanted.items() if spec.module == module}, report, environ
            )
    return {name: found[name] for name in wanted}
