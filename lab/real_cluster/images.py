"""Images without a registry: one static program each, built by buildah once per machine, imported into each node.

Archives are keyed by the hash of their content and stored beside the programs' cache.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.controlplane.binaries import exclusive_lock, find_or_build
from lab.controlplane.toolchain import build_command, build_environ, find_go
from podsonar.errors import ApiServerError

SOURCES = Path(__file__).parent / "image"
POD_IMAGE = "podsonar.invalid/pod:1"
DNS_IMAGE = "podsonar.invalid/coredns:1"


def run_checked(command: list[str], **options: object) -> str:
    """Run the command and return its output; raise ApiServerError with its last lines if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        last_lines = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise ApiServerError(f"{' '.join(command[:4])} … failed with {done.returncode}: {' / '.join(last_lines)}")
    output: str = done.stdout
    return output


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of image archives."""
    root = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(root) / "podsonar" / "images"


def pod_program(work: Path) -> Path:
    """Compile the static program of the test pods and return its path."""
    folder = work / "source"
    shutil.copytree(SOURCES, folder)
    go = find_go(os.environ, (1, 24), "the test pods' program")
    command = [*build_command(go), "-o", str(work / "pod"), "."]
    run_checked(command, cwd=folder, env=build_environ(os.environ))
    return work / "pod"


def archive(program: Path, image: str, work: Path, target: Path) -> None:
    """Build an image that contains the program alone, and write it as a docker archive."""
    context = work / "context"
    context.mkdir()
    shutil.copy(program, context / "program")
    shutil.copy(SOURCES / "Dockerfile", context)
    # vfs and chroot need neither overlay mounts nor a container runtime; the storage is removed with the work folder.
    buildah = ["buildah", "--storage-driver", "vfs", "--root", str(work / "root"), "--runroot", str(work / "run")]
    run_checked([*buildah, "bud", "--isolation", "chroot", "--timestamp", "0", "-t", image, str(context)])
    made = work / "image.tar"
    run_checked([*buildah, "push", image, f"docker-archive:{made}:{image}"])
    made.replace(target)


def fingerprint(paths: Iterable[Path]) -> str:
    """The hash of the files' contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def find_or_archive(image: str, key: str, program: Callable[[Path], Path], report: Callable[[str], object]) -> Path:
    """The image's archive; built if it is missing, by one process at a time."""
    name = image.rpartition("/")[2].replace(":", "-")
    target = cache_folder() / f"{name}-{key}.tar"
    target.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(target.parent / f"{name}.lock"):
        if not target.exists():
            report(f"building the image {image} …")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as work:
                archive(program(Path(work)), image, Path(work), target)
    return target


def cluster_images(report: Callable[[str], object] = print) -> list[Path]:
    """The archives of the images that every test cluster has."""
    coredns = find_or_build(("coredns",), report)["coredns"]
    dockerfile = SOURCES / "Dockerfile"
    return [
        find_or_archive(POD_IMAGE, fingerprint(SOURCES.iterdir()), pod_program, report),
        find_or_archive(DNS_IMAGE, fingerprint((coredns, dockerfile)), lambda _work: coredns, report),
    ]


def load(archives: Iterable[Path], holders: Iterable[int]) -> None:
    """Import the images into every node's containerd."""

    def import_archive(pid: int, path: Path) -> None:
        with path.open("rb") as image:
            enter = ["nsenter", "--target", str(pid), "--mount", "--net", "--"]
            run_checked([*enter, "ctr", "--namespace", "k8s.io", "images", "import", "--no-unpack", "-"], stdin=image)

    all_archives = list(archives)

    def import_into(pid: int) -> None:
        for path in all_archives:
            import_archive(pid, path)

    with ThreadPoolExecutor() as pool:
        list(pool.map(import_into, holders))
