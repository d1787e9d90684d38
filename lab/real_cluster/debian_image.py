"""The image of real servers and their load generators: PostgreSQL, Redis, nginx and HAProxy from Debian's packages.

Made by mmdebstrap from the mirror of the other images' base, once per machine; the archive is kept beside theirs.
"""

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from lab.controlplane.binaries import exclusive_lock
from lab.real_cluster.images import cache_folder, run_checked

PROGRAMS_IMAGE = "podsonar.invalid/programs:1"
RELEASE = "bookworm"
PACKAGES = ("postgresql", "redis-server", "nginx", "haproxy", "apache2-utils")
# Never used here: documentation, and the compiler of PostgreSQL's expressions (`jit` is off).
LEFT_OUT = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/*/libz3*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
)
NO_SERVER = (
    'mkdir -p "$1/etc/postgresql-common"; echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"'
)
REMOVE_LISTS = 'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*'


def bootstrap_command(target: Path) -> list[str]:
    """The command that writes the file system of the image as a tar archive."""
    excluded = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    hooks = [f"--essential-hook={NO_SERVER}", f"--customize-hook={REMOVE_LISTS}"]
    packages = f"--include={','.join(PACKAGES)}"
    return ["mmdebstrap", "--quiet", "--variant=minbase", packages, *excluded, *hooks, RELEASE, str(target)]


def build_archive(work: Path, target: Path) -> None:
    """Build the image in that folder, and write it as a docker archive."""
    run_checked(bootstrap_command(work / "root.tar"))
    buildah = ["buildah", "--storage-driver", "vfs", "--root", str(work / "root"), "--runroot", str(work / "run")]
    container = run_checked([*buildah, "from", "scratch"]).strip()
    run_checked([*buildah, "add", "--quiet", container, str(work / "root.tar"), "/"])
    (work / "root.tar").unlink()
    run_checked([*buildah, "commit", "--quiet", "--rm", container, PROGRAMS_IMAGE])
    made = work / "image.tar"
    run_checked([*buildah, "push", PROGRAMS_IMAGE, f"docker-archive:{made}:{PROGRAMS_IMAGE}"])
    made.replace(target)


def programs_image(report: Callable[[str], object]) -> Path:
    """The image's archive; built if it is missing, by one process at a time."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    recipe = hashlib.sha256("\n".join(bootstrap_command(Path())).encode()).hexdigest()[:16]
    target = folder / f"programs-1-{recipe}.tar"
    with exclusive_lock(folder / "programs.lock"):
        if not target.exists():
            report(f"building the image {PROGRAMS_IMAGE} from Debian's packages …")
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as work:
                build_archive(Path(work), target)
    return target
