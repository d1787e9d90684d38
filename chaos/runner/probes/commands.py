"""How the commands of probes run beside a runner: its credentials are out of their reach, or they do not run.

Whoever may order a run chooses them, and they run as the runner's user in its container.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import structlog

from chaos.probes.confine import landlock_version
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.environment import UNCONFINED
from cluster_api.access import Access

SECRETS = "/var/run/secrets"  # tokens of service accounts, of the cluster's and of a cloud's
OF_THE_KERNEL = ("/proc/", "/sys/", "/dev/")
MOUNTS = Path("/proc/self/mountinfo")
ESCAPED = re.compile(r"\\([0-7]{3})")  # a space and the like

log = structlog.get_logger()


def hidden_files(access: Access, kubeconfig: Path | None, mounts: str) -> tuple[str, ...]:
    """What no command may use, of the runner's identity and of what else is mounted; true paths, as they are now."""
    named = (kubeconfig, access.token_file, access.key_file)
    return (SECRETS, *(str(Path(one).resolve()) for one in named if one), *secret_mounts(mounts))


def secret_mounts(mounts: str) -> Iterator[str]:
    """Where memory is mounted read-only, by proc(5)'s mountinfo: as a kubelet gives Secrets, systemd credentials."""
    for line in mounts.splitlines():
        mount, _, system = line.partition(" - ")
        place, options = mount.split(" ")[4:6]
        kind, _source, whole = system.split(" ", 2)
        path = ESCAPED.sub(lambda found: chr(int(found[1], 8)), place)
        is_read_only = "ro" in options.split(",") or "ro" in whole.split(",")
        if kind in ("tmpfs", "ramfs") and is_read_only and path != "/" and not path.startswith(OF_THE_KERNEL):
            yield path


def command_environment(hidden: tuple[str, ...], *, unconfined: bool) -> ProbeEnvironment:
    """Where commands run and what is hidden from them; where the kernel cannot hide it, they are refused."""
    if unconfined:
        log.warning("commands_unconfined", setting=UNCONFINED)
        return ProbeEnvironment()
    try:
        landlock_version()
    except OSError as error:
        text = f"its command could read the runner's credentials: the node's kernel has no Landlock ({error.strerror})"
        return ProbeEnvironment(refused=f"{text}, expected 5.13 or newer with it enabled, or {UNCONFINED}=true")
    return ProbeEnvironment(hidden=hidden)
