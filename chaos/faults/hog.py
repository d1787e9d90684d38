"""Processes that use CPU or memory in another's cgroup, in a PID namespace whose end is theirs. Standard library only.

Each has an alarm of its own: a kernel timer kills it at the deadline, whatever happened to everybody else.
"""

import ctypes
import mmap
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from chaos.faults.privileges import drop_capabilities, end_with_parent

CLONE_NEWPID = 0x20000000
SLICE_SECONDS = 0.1
PAGE_BYTES = mmap.PAGESIZE

libc = ctypes.CDLL(None, use_errno=True)


def burn(load: int) -> None:
    """Use a share of one processor, until killed."""
    while True:
        begun = time.monotonic()
        if load < 100:
            while time.monotonic() - begun < SLICE_SECONDS * load / 100:
                pass
            time.sleep(max(0.0, SLICE_SECONDS - (time.monotonic() - begun)))
        else:
            while time.monotonic() - begun < SLICE_SECONDS:
                pass


def fill(size: int) -> None:
    """Touch and keep memory, until killed; of all processes of the cgroup this one is the first to go."""
    Path("/proc/self/oom_score_adj").write_text("1000")
    memory = mmap.mmap(-1, max(size, PAGE_BYTES))
    for at in range(0, size, PAGE_BYTES):
        memory[at] = 1
    while True:
        signal.pause()


def enter(cgroups: Sequence[str]) -> None:
    """Move this process into a cgroup of each hierarchy; OSError where one cannot be entered."""
    for folder in cgroups:
        (Path(folder) / "cgroup.procs").write_text("0")


def start_worker(work: Callable[[], None], cgroups: Sequence[str], seconds: float, ready: int) -> int:
    """Fork a worker; it writes one byte to `ready` when it is in its cgroup."""
    parent = os.getpid()
    worker = os.fork()
    if worker:
        return worker
    try:
        end_with_parent(parent)
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        enter(cgroups)
        drop_capabilities()
        os.write(ready, b"1")
        work()
    except BaseException as error:  # noqa: BLE001 - a forked process ends here, whatever happens
        with suppress(OSError):
            os.write(ready, (str(error).encode()[:200] or b"?") + b"\n")
    os._exit(1)


def run_init(works: Sequence[Callable[[], None]], cgroups: Sequence[str], seconds: float, ready: int) -> None:
    """Be the first process of the namespace: start the workers, wait for their end, exit.

    It writes one byte to `ready`, too, when it has no capability any more and can be asked to end.
    """
    workers = [start_worker(work, cgroups, seconds, ready) for work in works]
    drop_capabilities()

    def end(_number: int, _frame: object) -> None:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    with suppress(OSError):  # a worker's error has been read, and nobody reads on
        os.write(ready, b"1")
    for worker in workers:
        with suppress(ChildProcessError):
            os.waitpid(worker, 0)
    os._exit(0)


class Hogs:
    """Workers that are running; `OSError` if they could not be started."""

    def __init__(self, works: Sequence[Callable[[], None]], cgroups: Sequence[str], seconds: float) -> None:
        read, write = os.pipe()
        self.separate = libc.unshare(CLONE_NEWPID) == 0  # its children are in a namespace of their own
        holder = os.getpid()
        self.init = os.fork()
        if self.init == 0:
            os.close(read)
            end_with_parent(holder)
            run_init(works, cgroups, seconds, write)
        os.close(write)
        self.usage: resource.struct_rusage | None = None
        said, wanted = b"", b"1" * (1 + len(works))
        with os.fdopen(read, "rb") as pipe:
            while said != wanted and (part := pipe.read(1)):
                said += part
                if part != b"1":
                    said += pipe.read(200)
                    break
        if said != wanted:
            self.end()
            error = said.lstrip(b"1").partition(b"\n")[0]  # the first one's; others may have written behind it
            raise OSError(0, error.decode("utf-8", "replace") or "a worker ended at once")

    def have_ended(self) -> bool:
        """Whether every worker has ended."""
        if self.usage is None:
            pid, _status, usage = os.wait4(self.init, os.WNOHANG)
            self.usage = usage if pid else None
        return self.usage is not None

    def end(self) -> None:
        """End every worker now: by their init, and if that does not answer, by its end."""
        for number, seconds in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.kill(self.init, number)
            end = time.monotonic() + seconds
            while not self.have_ended() and time.monotonic() < end:
                time.sleep(0.01)
            if self.usage is not None:
                return

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the workers that have ended."""
        return self.usage.ru_utime + self.usage.ru_stime if self.usage else 0.0
