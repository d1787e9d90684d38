"""CPU and memory stress and process kill: in the right cgroup, as much as asked, over when it is over."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos.faults.fault import CpuStress, InjectionError, MemoryStress, PacketLoss
from chaos.faults.holder_client import hold
from chaos.faults.kill import kill
from chaos.faults.processes import Process, find_targets, read_process
from tests.chaos.faults.conftest import Victim

pytestmark = pytest.mark.kernel

MIB = 1 << 20


def usage_of(victim: Victim) -> float:
    """CPU seconds of the victim's cgroup."""
    for folder in victim.cgroups:
        if (folder / "cpuacct.usage").exists():
            return int((folder / "cpuacct.usage").read_text()) / 1e9
    return int((victim.cgroup / "cpu.stat").read_text().split()[1]) / 1e6


def test_cpu_is_used_in_the_cgroup(victim: Victim) -> None:
    """What the workers used is charged there, and nobody is left in it."""
    cgroups = tuple(one for one in victim.cgroups if (one / "cgroup.procs").exists())
    before, members = usage_of(victim), victim.members()
    with hold(CpuStress(2, 100, cgroups), 30) as held:
        time.sleep(1.5)
        assert len(victim.members() - members) == 2
        released = held.release()
    charged = usage_of(victim) - before
    assert released.counters["cpuSeconds"] > 0.2
    assert charged == pytest.approx(released.counters["cpuSeconds"], abs=0.2)
    assert victim.members() == members


def test_load_is_a_share(victim: Victim) -> None:
    """20 % of one processor is at most a fifth of the time, with a tenth of slack."""
    began = time.monotonic()
    with hold(CpuStress(1, 20), 30) as held:
        time.sleep(2)
        used = held.release().counters["cpuSeconds"]
    assert 0.05 < used < (time.monotonic() - began) * 0.3


def test_memory_is_charged_to_the_cgroup(victim: Victim) -> None:
    """The bytes are there, touched, and gone afterwards; the hog is the first to be killed for want of memory."""
    folder = next(
        one for one in victim.cgroups if (one / "memory.usage_in_bytes").exists() or (one / "memory.current").exists()
    )
    name = "memory.usage_in_bytes" if (folder / "memory.usage_in_bytes").exists() else "memory.current"
    before, members = int((folder / name).read_text()), victim.members()
    with hold(MemoryStress(1, 64 * MIB, (folder,)), 30):
        end = time.monotonic() + 10
        while int((folder / name).read_text()) - before < 60 * MIB and time.monotonic() < end:
            time.sleep(0.05)
        assert int((folder / name).read_text()) - before == pytest.approx(64 * MIB, rel=0.1)
        (hog,) = {int(pid) for pid in (folder / "cgroup.procs").read_text().split()} - members
        assert Path(f"/proc/{hog}/oom_score_adj").read_text() == "1000\n"
    assert int((folder / name).read_text()) - before < 20 * MIB


def test_want_of_memory_ends_the_fault_and_not_its_target(victim: Victim) -> None:
    """In a cgroup with less room than is asked for, the kernel kills the stress process; the server goes on."""
    folder = next(
        one for one in victim.cgroups if (one / "memory.limit_in_bytes").exists() or (one / "memory.max").exists()
    )
    limit = "memory.limit_in_bytes" if (folder / "memory.limit_in_bytes").exists() else "memory.max"
    members = victim.members()
    (folder / limit).write_text(str(64 * MIB))
    for process in members:
        (folder / "cgroup.procs").write_text(str(process))
    with hold(MemoryStress(1, 256 * MIB, (folder,)), 60) as held:
        end = time.monotonic() + 20
        while not held.ended() and time.monotonic() < end:
            held.beat()
            time.sleep(0.05)
        assert held.ended()
        assert held.release().by == "ended"
    assert victim.members() == members
    assert victim.error() is None


@pytest.mark.parametrize("kind", ["cpu-stress", "packet-loss"])
def test_holder_and_workers_have_no_capability(victim: Victim, kind: str) -> None:
    """Effective, permitted and bounding sets are empty, and no program gives any back."""
    fault = CpuStress(1, 10) if kind == "cpu-stress" else PacketLoss(victim.cgroup, local_ports=(18099,))
    with hold(fault, 30) as held:
        children = {held.process.pid}
        for task in Path(f"/proc/{held.process.pid}/task").iterdir():
            children |= {int(pid) for pid in (task / "children").read_text().split()}
        assert len(children) == (2 if kind == "cpu-stress" else 1)
        for pid in children:
            status = Path(f"/proc/{pid}/status").read_text()
            for line in (
                "CapEff:\t0000000000000000",
                "CapPrm:\t0000000000000000",
                "CapBnd:\t0000000000000000",
                "NoNewPrivs:\t1",
            ):
                assert line in status, (pid, line)


def descendants(pid: int) -> set[int]:
    """The children of a process, and theirs."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found |= {child, *descendants(child)}
    return found


def test_stress_is_held_only_when_none_of_its_processes_has_a_capability() -> None:
    """The first process of the namespace is no later than its workers, and can be asked to end; again and again."""
    for _ in range(20):
        with hold(CpuStress(2, 1), 30) as held:
            pids = {held.process.pid, *descendants(held.process.pid)}
            assert len(pids) == 4
            for pid in pids:
                status = Path(f"/proc/{pid}/status").read_text()
                assert all(f"{name}:\t{0:016x}\n" in status for name in ("CapEff", "CapPrm", "CapBnd")), status
            assert held.release().by == "G2"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (CpuStress(0), "workers is 0"),
        (CpuStress(1, 101), "load is 101"),
        (CpuStress(1, 100, (Path("/nowhere"),)), "No such file"),
        (MemoryStress(1, 0), "bytes is 0"),
    ],
)
def test_wrong_stress_says_why(fault: CpuStress | MemoryStress, expected: str) -> None:
    """One sentence."""
    with pytest.raises(InjectionError) as error:
        hold(fault, 5)
    assert expected in str(error.value)


def sleeper() -> "subprocess.Popen[bytes]":
    """A process to kill, with a name that no other has."""
    name = f"victim{os.getpid()}"
    return subprocess.Popen(["bash", "-c", f"exec -a {name} {sys.executable} -c 'import time; time.sleep(60)'"])


def test_kill_by_command_and_pid() -> None:
    """TERM, or KILL with force; what has ended is not hit again."""
    for force, number in ((False, signal.SIGTERM), (True, signal.SIGKILL)):
        process = sleeper()
        end = time.monotonic() + 5
        while f"victim{os.getpid()}" not in Path(f"/proc/{process.pid}/cmdline").read_text() and time.monotonic() < end:
            time.sleep(0.01)
        (target,) = find_targets(command=f"victim{os.getpid()}")
        assert target.pid == process.pid
        assert kill(target, force=force)
        assert process.wait() == -number
        assert not kill(target, force=force)


def test_pid_of_another_process_is_not_hit() -> None:
    """A pid with another start time is another process."""
    process = sleeper()
    try:
        found = read_process(process.pid)
        assert found is not None
        assert not kill(Process(found.pid, found.start_ticks - 1, found.name, found.parent, found.command), force=True)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "no process is named"),
        ({"pids": [1]}, "is protected"),
        ({"pids": [os.getpid()]}, "is protected"),
        ({"pids": [4194303]}, "is not there"),
        ({"names": ["no-such-name"]}, "no process has"),
        ({"names": ["systemd"]}, "no process has"),
    ],
)
def test_who_must_live_is_not_found(given: dict, expected: str) -> None:  # type: ignore[type-arg]
    """Pid 1, this process and its parents; node services by name."""
    with pytest.raises(InjectionError) as error:
        find_targets(**given)
    assert expected in str(error.value)


def test_sshd_is_never_hit(tmp_path: Path) -> None:
    """Not even by its pid, nor its sessions; a name with brackets and blanks is read whole."""
    for pid, name, parent in ((1, "init", 0), (7, "sshd", 1), (9, "sshd-session", 7), (8, "a ) b", 1)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} " + " ".join(["0"] * 17) + " 55 0")
        (folder / "cmdline").write_bytes(name.encode() + b"\0--flag\0")
    for pid in (7, 9):
        with pytest.raises(InjectionError, match="protected"):
            find_targets(pids=[pid], proc=tmp_path)
    with pytest.raises(InjectionError, match="no process"):
        find_targets(names=["sshd", "sshd-session"], command="sshd", proc=tmp_path)
    (found,) = find_targets(names=["a ) b"], proc=tmp_path)
    assert (found.pid, found.start_ticks, found.command) == (8, 55, "a ) b --flag")
