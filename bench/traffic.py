"""Programs that connect, compiled once into the cache folder."""

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.report import REPOSITORY

ADDRESS = "127.77.0.1"  # where storm.c and once.c connect to


def compiled(name: str) -> Path:
    """The program of `bench/<name>.c`."""
    source = REPOSITORY / "bench" / f"{name}.c"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podsonar" / "bench"
    program = cache / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", unfinished, source], check=True)
        unfinished.replace(program)
    return program


def storm(connects: int, ports: int, a_second: int = 0, inside: Sequence[Path] = ()) -> dict[str, Any]:
    """What the storm of two threads, in these cgroups, says of itself: `connects`, `seconds`, `perSecond`."""
    join = [
        "sh",
        "-c",
        'for group in $0; do echo 0 > "$group/cgroup.procs"; done; exec "$@"',
        " ".join(map(str, inside)),
    ]
    words = map(str, (compiled("storm"), connects, 2, ports, a_second))
    found: dict[str, Any] = json.loads(subprocess.run([*join, *words], capture_output=True, check=True).stdout)
    return found
