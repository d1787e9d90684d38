"""Finds kernel headers for the compiler; any set works, since structure offsets come from BTF.

Standard library only: the loader uses it. The order is that of BCC (src/cc/frontends/clang/{loader,kbuild_helper}.cc),
with any set below /usr/src, which the image carries, before the headers that the kernel itself may hold.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
KHEADERS = "sys/kernel/kheaders.tar.xz"
WANTED = "include/linux/kconfig.h"


class HeadersError(Exception):
    """No usable headers; `reason` is a metric label."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Headers(NamedTuple):
    """`source` is `environment`, `host`, `image` or `kheaders`; `folder` is for BCC_KERNEL_SOURCE where not empty."""

    source: str
    folder: str
    flags: tuple[str, ...]


def host_headers(root: Path, release: str, tried: list[str]) -> Headers | None:
    """Return the running kernel's headers below /lib/modules, as the host's package manager links them."""
    folder = root / "lib/modules" / release
    build, source = folder / "build", folder / "source"
    if build.is_dir() and ((source if source.is_dir() else build) / WANTED).exists():
        return Headers("host", "", ())
    for place in (build, source):
        shown = f"/lib/modules/{release}/{place.name}"
        if place.is_symlink() and not place.exists():
            tried.append(f"{shown} (a link to {place.readlink()}, which is not there: is /usr/src mounted?)")
        elif place.exists():
            tried.append(f"{shown} (without {WANTED})")
        else:
            tried.append(f"{shown} (absent)")
    return None


def image_headers(root: Path, machine: str, tried: list[str]) -> Headers | None:
    """Return the newest headers below /usr/src; Debian splits them into two packages, <release> and common."""
    sets = sorted(
        folder
        for folder in (root / "usr/src").glob("linux-headers-*")
        if (folder / "include/generated/autoconf.h").exists()
    )
    if not sets:
        tried.append("/usr/src/linux-headers-* (none)")
        return None
    headers = sets[-1]
    common = headers.parent / (headers.name.rpartition("-")[0] + "-common")
    if not common.exists():
        return Headers("image", str(headers), ())
    arch = ARCHITECTURES.get(machine, machine)
    places = ("", f"/arch/{arch}/include", f"/arch/{arch}/include/uapi", "/include", "/include/uapi")
    return Headers("image", str(headers), tuple(f"-I{common}{place}" for place in places))


def kernel_headers(root: Path, environment: Mapping[str, str], tried: list[str]) -> Headers | None:
    """Return the headers in the kernel's own archive, which BCC unpacks with tar and xz into the temporary folder."""
    archive = root / KHEADERS
    if not archive.exists():
        tried.append(f"/{KHEADERS} (absent; modprobe kheaders)")
        return None
    if archive.stat().st_uid != 0:
        raise HeadersError(
            "kheaders_not_root",
            f"/{KHEADERS} belongs to uid {archive.stat().st_uid} as seen here, expected 0: "
            "set hostUsers to true, or give the image headers below /usr/src",
        )
    missing = [name for name in ("tar", "xz") if shutil.which(name, path=environment.get("PATH", os.defpath)) is None]
    if missing:
        raise HeadersError(
            f"{missing[-1]}_missing",
            f"/{KHEADERS} is there, but not {' and '.join(missing)} to unpack it: the image needs both",
        )
    folder = environment.get("TMPDIR", "/tmp")  # noqa: S108 - where BCC unpacks
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 65536)
            file.flush()
    except OSError as error:
        raise HeadersError(
            "tmp_unwritable", f"{folder}: {error.strerror}; /{KHEADERS} is unpacked there: mount an emptyDir"
        ) from error
    return Headers("kheaders", "", ())


def find(release: str, machine: str, environment: Mapping[str, str], root: Path = Path("/")) -> Headers:
    """Return the headers to compile with; HeadersError lists the places tried."""
    given = environment.get("BCC_KERNEL_SOURCE")
    if given:
        return Headers("environment", given, ())
    tried: list[str] = ["$BCC_KERNEL_SOURCE (not set)"]
    found = (
        host_headers(root, release, tried)
        or image_headers(root, machine, tried)
        or kernel_headers(root, environment, tried)
    )
    if found is None:
        raise HeadersError(
            "headers_missing",
            f"no kernel headers: tried {', '.join(tried)}; "
            "install Debian's linux-headers-amd64 or its like (any version will do)",
        )
    return found
