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


@contextmanager
def storm_in_turns(ports: int) -> Iterator[Callable[[float, float], float]]:
    """A storm of two threads without end; what is yielded lets it go on for `settle` and `seconds` and gives its
    connects per second in the latter. Between turns it stands still: what is attached then has the machine for itself.
    """
    with tempfile.NamedTemporaryFile() as file:
        command = [compiled("storm"), str(1 << 62), "2", str(ports), "0", file.name]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as storm:

            def goes_on() -> None:
                if storm.poll() is not None:
                    raise SystemExit(f"the storm ended with {storm.returncode}, expected it to go on")

            def made() -> int:
                goes_on()
                return sum(struct.unpack_from("=q56xq", done))  # a cache line each

            def rate(settle: float, seconds: float) -> float:
                storm.send_signal(signal.SIGCONT)
                time.sleep(settle)
                begun, before = time.monotonic(), made()
                time.sleep(seconds)
                ended, after = time.monotonic(), made()
                storm.send_signal(signal.SIGSTOP)
                return (after - before) / (ended - begun)

            try:
                while not os.fstat(file.fileno()).st_size:
                    goes_on()
                    time.sleep(0.01)
                storm.send_signal(signal.SIGSTOP)
                with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as done:
                    yield rate
            finally:
                storm.kill()
