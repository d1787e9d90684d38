"""Where kernel headers are looked for, and what is said where there are none, on folders laid out as on a machine."""

import os
from pathlib import Path

import pytest

from node_agent.privileged import kernel_headers

RELEASE = "6.1.0-56-amd64"


def touch(path: Path) -> None:
    """An empty file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def find(root: Path, **environment: str) -> kernel_headers.Headers:
    """What is found below a root; nothing of this machine's environment counts."""
    return kernel_headers.find(RELEASE, "x86_64", {"PATH": os.environ["PATH"], **environment}, root)


def test_environment_beats_host_beats_image_beats_kheaders(tmp_path: Path) -> None:
    """The nearer source is taken."""
    touch(tmp_path / kernel_headers.KHEADERS)
    assert find(tmp_path).source == "kheaders"
    image = tmp_path / "usr/src/linux-headers-6.1.0-56-amd64"
    touch(image / "include/generated/autoconf.h")
    assert find(tmp_path) == ("image", str(image), ())
    (tmp_path / "usr/src/linux-headers-6.1.0-56-common").mkdir()
    assert "-I" + str(tmp_path / "usr/src/linux-headers-6.1.0-56-common/include") in find(tmp_path).flags
    touch(tmp_path / f"lib/modules/{RELEASE}/build" / kernel_headers.WANTED)
    assert find(tmp_path) == ("host", "", ())
    assert find(tmp_path, BCC_KERNEL_SOURCE="/mine") == ("environment", "/mine", ())


def test_archive_without_xz_names_xz(tmp_path: Path) -> None:
    """BCC unpacks the kernel's archive with programs of the image (row 27)."""
    touch(tmp_path / kernel_headers.KHEADERS)
    touch(tmp_path / "bin/tar")
    (tmp_path / "bin/tar").chmod(0o755)
    with pytest.raises(kernel_headers.HeadersError, match="not xz to unpack it") as error:
        find(tmp_path, PATH=str(tmp_path / "bin"))
    assert error.value.reason == "xz_missing"


def test_archive_of_another_owner_names_hostusers(tmp_path: Path) -> None:
    """Seen from a user namespace the archive is not root's, and BCC refuses it (row 29)."""
    touch(tmp_path / kernel_headers.KHEADERS)
    os.chown(tmp_path / kernel_headers.KHEADERS, 65534, 65534)
    with pytest.raises(kernel_headers.HeadersError, match="hostUsers") as error:
        find(tmp_path)
    assert error.value.reason == "kheaders_not_root"


def test_archive_with_nowhere_to_unpack_names_the_folder(tmp_path: Path) -> None:
    """The archive is the one source that needs a temporary folder (row 28)."""
    touch(tmp_path / kernel_headers.KHEADERS)
    with pytest.raises(kernel_headers.HeadersError, match=str(tmp_path / "absent")) as error:
        find(tmp_path, TMPDIR=str(tmp_path / "absent"))
    assert error.value.reason == "tmp_unwritable"
