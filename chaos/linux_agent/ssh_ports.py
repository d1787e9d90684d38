"""The ports by which this host is reached by SSH: what a network fault never touches, or nobody could look any more."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from chaos.faults.network_rule import MAX_PORTS
from chaos.faults.processes import PROC, SSHD_NAMES, list_processes

SSH_PORT = 22
ESTABLISHED, LISTEN = "01", "0A"  # net/tcp_states.h, as /proc/net/tcp has them


def sockets_of(pid: int, proc: Path) -> Iterator[str]:
    """The inodes of a process's sockets."""
    with suppress(OSError):
        for entry in os.scandir(proc / str(pid) / "fd"):
            with suppress(OSError):
                target = Path(entry.path).readlink().name
                if target.startswith("socket:["):
                    yield target[8:-1]


def find_ssh_ports(proc: Path = PROC) -> tuple[int, ...]:
    """22, the ports on which sshd listens, and those of its connections: at most as many as a rule holds."""
    inodes = {inode for one in list_processes(proc) if one.name in SSHD_NAMES for inode in sockets_of(one.pid, proc)}
    found = {SSH_PORT: 0}
    for name in ("net/tcp", "net/tcp6"):
        with suppress(OSError):
            for row in (proc / name).read_text().splitlines()[1:]:
                fields = row.split()
                if fields[9] in inodes and fields[3] in {ESTABLISHED, LISTEN}:
                    port = int(fields[1].rpartition(":")[2], 16)
                    found[port] = min(found.get(port, 2), 1 if fields[3] == LISTEN else 2)
    return tuple(sorted(found, key=lambda port: (found[port], port))[:MAX_PORTS])
