"""A cgroup of its own with a server in it."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.simulated.cgroups import make_in_every_hierarchy, remove

PEERS = Path(__file__).with_name("peers.py")


class Victim:
    """Cgroups, a server in the version 2 one, and a client outside of it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.cgroups = make_in_every_hierarchy(run)
        self.cgroup = next(one for one in self.cgroups if (one.parent / "cgroup.controllers").exists())
        self.process = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-I", "-S", "-B", str(PEERS), str(self.cgroup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "serving\n"

    def connect(self, address: str = "127.0.0.1", **given: Any) -> dict[str, Any]:
        """Connect once: `error` is a name or None."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"address": address} | given) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def error(self, address: str = "127.0.0.1", **given: Any) -> str | None:
        """The name of a connect's error."""
        found: str | None = self.connect(address, **given)["error"]
        return found

    def members(self) -> set[int]:
        """The processes of every cgroup."""
        return {int(pid) for one in self.cgroups for pid in (one / "cgroup.procs").read_text().split()}

    def close(self) -> None:
        """End both processes and remove the cgroups."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        remove(self.run)


@pytest.fixture
def victim() -> Iterator[Victim]:
    """A server in a cgroup of its own."""
    made = Victim(f"podsonar-fault-{secrets.token_hex(4)}")
    yield made
    made.close()
