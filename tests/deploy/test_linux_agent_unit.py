"""The systemd unit of the Linux agent: faults work with exactly the capabilities that it leaves, and not with fewer."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = "deploy/systemd/podsonar-linux-agent.service"
PREFLIGHT = [sys.executable, "-c", "from cli.main import main; main()", "linux-agent", "preflight"]


def setting(repository: Path, name: str) -> list[str]:
    """The words of a setting of the unit."""
    rows = (repository / UNIT).read_text().splitlines()
    (found,) = [row.partition("=")[2] for row in rows if row.startswith(f"{name}=")]
    return found.split()


def preflight(repository: Path, capabilities: list[str]) -> dict[str, str]:
    """Need -> `ok` or `missing`, below a bounding set and no_new_privs as systemd sets them."""
    names = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)])
    command = ["setpriv", "--bounding-set", names, "--no-new-privs", *PREFLIGHT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 3, done.stderr  # there is neither a manager nor a key
    return {row.split(None, 1)[1].partition(":")[0]: row.split()[0] for row in done.stdout.splitlines()}


@pytest.mark.kernel
@pytest.mark.long
def test_faults_can_be_made_with_the_units_capabilities_and_not_without_the_decisive_ones(repository: Path) -> None:
    """Each fault is tried for real; without both that may attach a program no packet is dropped."""
    given = setting(repository, "CapabilityBoundingSet")
    faults = ("linux-cpu-stress", "linux-network-loss", "connect refusal")
    found = preflight(repository, given)
    assert {name: found[name] for name in faults} == dict.fromkeys(faults, "ok")
    fewer = [name for name in given if name not in {"CAP_SYS_ADMIN", "CAP_NET_ADMIN"}]
    assert preflight(repository, fewer)["linux-network-loss"] == "missing"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze (Debian package `systemd`)")
def test_unit_is_valid(repository: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it."""
    unit = tmp_path / "podsonar-linux-agent.service"
    unit.write_text((repository / UNIT).read_text().replace("/opt/podsonar/bin/podsonar", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [row for row in done.stderr.splitlines() if "podsonar" in row]) == (0, [])
