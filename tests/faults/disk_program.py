"""Puts batches into a spool on a disk that fails in each way in turn; prints what happened as JSON.

Argument: an empty folder in a mount namespace of this process's own. Every fault is the kernel's own answer.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from delivery.batch import Batch
from delivery.spool import Spool
from podsonar.errors import SpoolError
from podsonar.private_folder import regular_files


def tried(spool: Spool, name: str, size: int = 1000) -> str:
    """`stored`, or why not."""
    try:
        spool.put(Batch(name, "connections", 1, os.urandom(size)))
    except SpoolError as error:
        return str(error).split(": ")[1].split(" while")[0]
    return "stored"


def mount(*words: str) -> None:
    """Run the command of that name."""
    subprocess.run(["mount", *words], check=True)


def main() -> None:
    """Fault by fault; after each the disk is well again."""
    folder = Path(sys.argv[1])
    mount("-t", "tmpfs", "-o", "size=4m", "spool", str(folder))
    spool = Spool(folder / "spool")
    found = {"before": tried(spool, "c-0")}
    filler = folder / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(os.urandom(65536))
            file.flush()
    found["ENOSPC"] = tried(spool, "c-1", 100_000)
    filler.unlink()
    spool.close()
    mount("-o", "remount,ro", str(folder))
    try:
        Spool(folder / "spool").close()
    except SpoolError as error:
        found["EROFS"] = str(error).split(": ")[1].split(";")[0]
    mount("-o", "remount,rw", str(folder))
    spool = Spool(folder / "spool")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1, hard))
    found["EMFILE"] = tried(spool, "c-3")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    found["after"] = tried(spool, "c-4")
    found["waiting"] = ",".join(entry.batch_id for entry in spool.waiting())
    found["read"] = ",".join(batch.id for batch in [spool.oldest()] if batch)
    found["unfinished"] = ",".join(name for name, _ in regular_files(spool.folder, ".tmp"))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
