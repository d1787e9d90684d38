"""Finds processes to kill, by pid, name or command, and leaves out those that must live. Reads /proc."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chaos.faults.fault import InjectionError

SSHD_NAMES = frozenset({"sshd", "sshd-session", "sshd-auth"})  # the two latter are of OpenSSH 9.8 and later
PROTECTED_NAMES = SSHD_NAMES | frozenset({"systemd", "kubelet", "containerd", "dockerd", "crio", "init"})
PROC = Path("/proc")


class Process(NamedTuple):
    """A process; pid and start time together name it, a pid alone may be another's later."""

    pid: int
    start_ticks: int
    name: str
    parent: int
    command: str


def read_process(pid: int, proc: Path = PROC) -> Process | None:
    """A process that lives now."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
        command = (proc / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return None
    name = text[text.index("(") + 1 : text.rindex(")")]  # the name may hold blanks and brackets, proc(5)
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), name, int(fields[1]), command)


def list_processes(proc: Path = PROC) -> Iterator[Process]:
    """Every process that lives now."""
    for entry in proc.iterdir():
        if entry.name.isdecimal() and (found := read_process(int(entry.name), proc)) is not None:
            yield found


def own_line(pid: int, proc: Path = PROC) -> set[int]:
    """A process and its parents."""
    found = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        process = read_process(pid, proc)
        pid = process.parent if process else 0
    return found


def find_targets(
    pids: Sequence[int] = (), names: Sequence[str] = (), command: str = "", proc: Path = PROC
) -> list[Process]:
    """The processes that are meant; InjectionError if there is none, or one that must live is named by its pid.

    Pid 1, the caller and its parents are never hit. Node services and sshd are hit only if named by pid, sshd never.
    """
    if not (pids or names or command):
        raise InjectionError("no process is named: expected processIDs, processNames or processCommand")
    line = own_line(os.getpid(), proc) | {1}
    found = []
    for process in list_processes(proc):
        by_pid = process.pid in pids
        meant = by_pid or process.name in names or (bool(command) and command in process.command)
        if not meant:
            continue
        if process.pid in line or process.name in SSHD_NAMES:
            if by_pid:
                raise InjectionError(f"process {process.pid} ({process.name}) is protected: expected another one")
            continue
        if by_pid or process.name not in PROTECTED_NAMES:
            found.append(process)
    missing = sorted(set(pids) - {process.pid for process in found})
    if missing:
        raise InjectionError(f"process {missing[0]} is not there: expected the pid of a running process")
    if not found:
        raise InjectionError(f"no process has one of the names {list(names)} or the command {command[:80]!r}")
    return sorted(found)
