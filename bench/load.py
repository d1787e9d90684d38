"""Programs that connect, compiled once into the cache folder."""

import hashlib
import json
import mmap
import os
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.report import REPOSITORY

ADDRESS = "127.77.0.1"  # where storm.c and connect_once.c connect to


def compiled(name: str) -> Path:
    """The path of the compiled `bench/<name>.c`."""
    source = REPOSITORY / "bench" / f"{name}.c"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podsonar" / "bench"
    program = cache / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-o", unfinished, source], check=True)
        unfinished.replace(program)
    return program


def storm(connects: int, ports: int, per_second: int = 0, inside: Sequence[Path] = ()) -> dict[str, Any]:
    """Run the storm of two threads in these cgroups; return its `connects`, `seconds` and `perSecond`."""
    join = [
        "sh",
        "-c",
        'for group in $0; do echo 0 > "$group/cgroup.procs"; done; exec "$@"',
        " ".join(map(str, inside)),
    ]
    words = map(str, (compiled("storm"), connects, 2, ports, per_second))
    result: dict[str, Any] = json.loads(subprocess.run([*join, *words], capture_output=True, check=True).stdout)
    return result


@contextmanager
def storm_in_turns(ports: int) -> Iterator[Callable[[float, float], float]]:
    """Run a storm of two threads without end; yield a function that lets it run for `settle_seconds` and `seconds` and
    returns the connects per second of the latter. Between calls the storm is stopped, so that attaching has the
    machine to itself.
    """
    with tempfile.NamedTemporaryFile() as file:
        command = [compiled("storm"), str(1 << 62), "2", str(ports), "0", file.name]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as storm:

            def check_running() -> None:
                if storm.poll() is not None:
                    raise SystemExit(f"the storm ended with {storm.returncode}, expected it to go on")

            def count() -> int:
                check_running()
                return sum(struct.unpack_from("=q56xq", counts))  # a cache line each

            def rate(settle_seconds: float, seconds: float) -> float:
                storm.send_signal(signal.SIGCONT)
                time.sleep(settle_seconds)
                started, before = time.monotonic(), count()
                time.sleep(seconds)
                ended, after = time.monotonic(), count()
                storm.send_signal(signal.SIGSTOP)
                return (after - before) / (ended - started)

            try:
                while not os.fstat(file.fileno()).st_size:
                    check_running()
                    time.sleep(0.01)
                storm.send_signal(signal.SIGSTOP)
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as counts:
                    yield rate
            finally:
                storm.kill()
