"""The agent's own cgroup, by what the kernel side sees of a connect that the agent makes.

In a cgroup namespace of its own, which is the default with cgroup v2, a process does not see its cgroup's names. One
refused connect to a random loopback address and port shows its number, which no other process can know beforehand.
"""

import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node_agent.capture import process_table
from node_agent.privileged.bpf_structs import ENDPOINTS, packed_address


@dataclass(frozen=True, slots=True)
class OwnConnect:
    """A connect of this process: its address and port."""

    address: str
    port: int

    @classmethod
    def make(cls) -> Self:
        """Connect to a random address of 127.0.0.0/8, and return where; nobody listens there."""
        address = "127.{}.{}.{}".format(*(1 + secrets.randbelow(254) for _ in range(3)))
        port = 1 + secrets.randbelow(65535)
        with socket.socket() as client:
            client.setblocking(False)
            client.connect_ex((address, port))
        return cls(address, port)

    def cgroup(self, keys: Collection[bytes]) -> int | None:
        """Return the number of the cgroup that made it; None if no flow, or that of several cgroups, is it."""
        remote, port_be = packed_address(self.address), self.port.to_bytes(2, "big")
        found = {unpacked[0] for unpacked in map(ENDPOINTS.unpack, keys) if unpacked[2:4] == (remote, port_be)}
        return found.pop() if len(found) == 1 else None


def shows_no_names(proc_folder: Path) -> bool:
    """Return whether /proc shows the root for this process: it is there, or in a cgroup namespace of its own."""
    try:
        content = (proc_folder / "self" / "cgroup").read_bytes()
    except OSError:
        return True
    return not any(process_table.cgroup_paths(content))
