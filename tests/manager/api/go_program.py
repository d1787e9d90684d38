"""Builds a Go client: a stock generator, pinned as a Go module, reads the official document; once per machine."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.controlplane.binaries import exclusive_lock
from lab.controlplane.toolchain import build_command, build_environ, find_go
from podsonar.errors import ApiServerError

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENT = REPOSITORY / "manager" / "schema" / "service-discovery-openapi.yaml"
SOURCES = Path(__file__).resolve().parent / "go_client"
GENERATOR = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
OLDEST_GO = (1, 26)


def missing_go() -> str | None:
    """Why no Go client can be built on this machine; None if it can."""
    try:
        find_go(os.environ, OLDEST_GO, "a Go client")
    except ApiServerError as error:
        return str(error)
    return None


def run(command: list[str], folder: Path) -> bytes:
    """The output of a command; an AssertionError with its last words if it fails."""
    go = find_go(os.environ, OLDEST_GO, "a Go client")  # the generator formats what it writes by the `go` on PATH
    environ = build_environ(os.environ) | {"PATH": f"{go.parent}:{os.environ.get('PATH', os.defpath)}"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(command[:4])} … failed:\n{done.stderr.decode()[-3000:]}"
    return done.stdout


def build(work: Path) -> Path:
    """Build the generator, make the package `discovery` from the document by it, and compile the client with that."""
    sources = work / "go_client"
    shutil.copytree(SOURCES, sources)
    compile_to = [*build_command(find_go(os.environ, OLDEST_GO, "a Go client")), "-mod=readonly", "-o"]
    run([*compile_to, str(work / "oapi-codegen"), GENERATOR], sources)
    (sources / "discovery").mkdir()
    generate = [str(work / "oapi-codegen"), "-generate", "types,client", "-package", "discovery", str(DOCUMENT)]
    (sources / "discovery" / "client.go").write_bytes(run(generate, sources))
    run([*compile_to, str(work / "client"), "."], sources)
    return work / "client"


def go_client() -> Path:
    """The path of the built client; it is kept by the hash of its sources, its modules and the document."""
    files = sorted(path for path in SOURCES.iterdir() if path.is_file())
    digest = hashlib.sha256(b"\0".join(path.read_bytes() for path in (*files, DOCUMENT))).hexdigest()[:16]
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(root) / "podsonar" / "go_client"
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(folder / "lock"):
        kept = folder / digest
        if not os.access(kept, os.X_OK):
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as work:
                build(Path(work)).replace(kept)
    return kept
