"""What the agent and its faults need on this host, found by trying."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chaos.faults.fault import ConnectRefusal, CpuStress, Fault, InjectionError, PacketLoss
from chaos.faults.holder_client import hold
from chaos.linux_agent.access_key import AccessKey
from chaos.linux_agent.lserver_client import LserverClient, NoAnswerError
from podsonar.errors import InputError, TokenError
from podsonar.settings import LinuxAgentSettings

MOUNTS = Path("/proc/self/mountinfo")
# RFC 5737: nobody has it, so that a fault for it touches nothing.
NOWHERE = "192.0.2.1"
TRY_SECONDS = 1.0


class Need(NamedTuple):
    """A need, whether it is met, and what was found."""

    name: str
    is_met: bool
    text: str


def cgroup_root(mounts: Path = MOUNTS) -> Path:
    """The root of cgroup v2, wherever it is mounted; InputError if it is not."""
    for line in mounts.read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        if right.split(" ", 1)[0] == "cgroup2":
            return Path(left.split()[4])
    raise InputError(f"{mounts} has no mount of cgroup2, expected one: network faults need cgroup v2")


def try_fault(name: str, make: Fault) -> Need:
    """Whether a fault that touches nobody can be made."""
    try:
        with hold(make, TRY_SECONDS) as held:
            held.release()
    except InjectionError as error:
        return Need(name, is_met=False, text=str(error))
    return Need(name, is_met=True, text="made and released")


def check_key(settings: LinuxAgentSettings) -> Need:
    """Whether there is an access key."""
    try:
        AccessKey(Path(settings.linux.access_key_file), Path(settings.linux.state_folder)).candidates()
    except TokenError as error:
        return Need("access key", is_met=False, text=str(error))
    return Need("access key", is_met=True, text="there, not tried")


def check_manager(settings: LinuxAgentSettings) -> Need:
    """Whether the manager answers: to a request without a key by 401."""
    client = LserverClient(settings, lambda _code: None)
    try:
        status = client.liveness().status
    except NoAnswerError as error:
        return Need("manager", is_met=False, text=str(error))
    finally:
        client.close()
    return Need("manager", is_met=status in (401, 429), text=f"{settings.manager.url} answered {status}, expected 401")


def check_host(settings: LinuxAgentSettings) -> Iterator[Need]:
    """Every need, one after the other."""
    yield Need("root", is_met=os.geteuid() == 0, text=f"uid {os.geteuid()}, expected 0")
    yield check_key(settings)
    yield check_manager(settings)
    yield Need("/bin/sh", is_met=os.access("/bin/sh", os.X_OK), text="runs the commands of probes")
    yield try_fault("linux-cpu-stress", CpuStress(1, 1))
    try:
        cgroup = Path(settings.linux.cgroup) if settings.linux.cgroup else cgroup_root()
    except InputError as error:
        yield Need("linux-network-loss", is_met=False, text=str(error))
        return
    yield try_fault("linux-network-loss", PacketLoss(cgroup, 100.0, networks=(NOWHERE,)))
    yield try_fault("connect refusal", ConnectRefusal(cgroup, networks=(NOWHERE,)))
