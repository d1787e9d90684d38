"""The directory's file: replaced as a whole, bounded, and ignored unless it is what was written.

A line `podsonar-intervals 1`, then the gzipped state; gzip's own checksum covers it.
"""

import os
from pathlib import Path
from typing import Literal

import structlog
from isal import igzip, isal_zlib

from directory import snapshot
from directory.interval import SKEW_NS
from podsonar import atomic_file

MAGIC = b"podsonar-intervals 1\n"
MAX_BYTES = 128 << 20  # 100,000 pods are some 8 MB

WriteResult = Literal["written", "too_large", "error"]
ReadResult = Literal["absent", "restored", "corrupt", "stale", "other_namespaces"]

log = structlog.get_logger()


def write(path: Path, state: snapshot.State) -> WriteResult:
    """Replace the file by a state, or leave it as it is; after a crash it holds the old state or the new one."""
    content = MAGIC + igzip.compress(snapshot.encode(state), 1, mtime=0)
    if len(content) > MAX_BYTES:
        log.warning("directory_not_saved", reason="too_large", bytes=len(content), expected=MAX_BYTES)
        return "too_large"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.write(path, content)
    except OSError as error:
        log.warning("directory_not_saved", reason=error.strerror, file=str(path))
        return "error"
    return "written"


def decode(content: bytes) -> snapshot.RestoredDirectory:
    """Return the directory in a file's bytes; an error unless they are what `write` writes."""
    if not content.startswith(MAGIC) or len(content) > MAX_BYTES:
        raise ValueError(f"{len(content)} bytes that begin with {content[:8]!r}")
    return snapshot.decode(igzip.decompress(content[len(MAGIC) :]))  # type: ignore[no-untyped-call]


def read(path: Path, now_ns: int, keep_ns: int) -> tuple[snapshot.RestoredDirectory | None, ReadResult]:
    """Return the directory in the file, if that is whole and neither older than what is kept nor from the future."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW)) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None, "absent"
    except OSError as error:
        log.warning("directory_file_ignored", file=str(path), reason=error.strerror)
        return None, "corrupt"
    try:
        found = decode(content)
    except (ValueError, OSError, EOFError, isal_zlib.error) as error:  # type: ignore[misc]
        log.warning("directory_file_ignored", file=str(path), reason=str(error)[:200])
        return None, "corrupt"
    if not now_ns - keep_ns <= found.saved_ns <= now_ns + SKEW_NS:
        log.warning("directory_file_ignored", file=str(path), reason="stale", saved_ns=found.saved_ns)
        return None, "stale"
    return found, "restored"
