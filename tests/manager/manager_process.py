"""A manager in a process of its own, and what it has used."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.manager.conftest import CLIENT, Running
from tests.manager.fresh_database import migrated

MIB = 1 << 20
ANNOUNCED = re.compile(r"^manager: (https?://\S+)/$", re.MULTILINE)


@dataclass(frozen=True)
class ManagerProcess(Running):
    """A running manager and its process."""

    process: subprocess.Popen[bytes]
    log: Path

    def memory(self, name: str) -> int:
        """Bytes of a line of /proc/<pid>/status: VmRSS, or VmHWM since `reset_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name))

    def reset_peak(self) -> None:
        """Let VmHWM begin anew at what is resident now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """The value of a sample by its name and labels as they are written."""
        lines = CLIENT.get(f"{self.url}/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)


def announced_url(process: subprocess.Popen[bytes], log: Path) -> str:
    """Where the manager says that it listens: the kernel chose the port, so no other program can have it."""
    while True:
        if found := ANNOUNCED.search(log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)


@contextmanager
def manager_process(
    folder: Path, database: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[ManagerProcess]:
    """A manager that answers, on a fresh SQLite database unless one is given."""
    database = database or f"sqlite:///{folder}/manager.db"
    tokens = migrated(database)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    given = {"PODSONAR_DATABASE": database, "PODSONAR_LISTEN": "127.0.0.1:0", **(settings or {})}
    command = [sys.executable, "-c", "from cli.main import main; main()", "manager", "serve"]
    log = folder / "manager.log"
    with log.open("wb") as written:
        process = subprocess.Popen(command, env=environment | given, stdout=written, stderr=written, cwd=folder)
    try:
        url = announced_url(process, log)
        while True:
            try:
                httpx.get(f"{url}/healthz", trust_env=False, verify=False)  # noqa: S501 - answered at all
                break
            except httpx.TransportError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
        yield ManagerProcess(url, database, *tokens, process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
