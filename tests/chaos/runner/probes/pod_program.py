"""Runs commands of probes as a runner in its pod does: as it was, `confined`, or as an operator may have it.

Arguments: which of these, and system calls to refuse. It holds one credential of each kind: in its environment, in its
memory, in an open file. Commands come as JSON on stdin, their outcomes go to stdout.
"""

import errno
import json
import os
import platform
import sys
from pathlib import Path

import msgspec

from chaos.probes.confine import close_memory
from chaos.probes.probe_rounds import ProbeEnvironment, try_once
from chaos.runner.probes.commands import MOUNTS, command_environment, hidden_files
from chaos.task_action import Probe
from cluster_api.access import Access
from node_agent.privileged import seccomp

LANDLOCK = {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
KUBECONFIG = Path("/mnt/kubeconfig")


def environment_of(how: str) -> ProbeEnvironment:
    """That of a runner, of one whose operator does without Landlock, or of one that hides nothing."""
    if how == "as it was":
        return ProbeEnvironment()
    close_memory()
    access = Access("pod", "https://api", token_file="/var/run/secrets/kubernetes.io/serviceaccount/token")
    hidden = hidden_files(access, KUBECONFIG, MOUNTS.read_text(encoding="utf-8"))
    return command_environment(hidden, unconfined=how == "unconfined")


def main() -> None:
    """Run each command once."""
    seccomp.SYSCALLS[platform.machine()] |= LANDLOCK
    seccomp.install(errno.ENOSYS, tuple(sys.argv[2:]))
    environment = environment_of(sys.argv[1])
    with KUBECONFIG.open("rb") as opened:
        os.set_inheritable(opened.fileno(), True)
        kept = "in memory: credential-of-the-heap"
        found = [try_once(probe_of(command), environment) for command in json.load(sys.stdin)]
        assert kept
    json.dump([[one.outcome, one.text] for one in found], sys.stdout)


def probe_of(command: str) -> Probe:
    """A probe that fails with the output of its command."""
    inputs = {"command": command, "comparator": {"type": "string", "criteria": "equal", "value": "nothing"}}
    timing = {"probeTimeout": "20s"}
    wanted = {"name": "a", "type": "cmdProbe", "mode": "EOT", "cmdProbe/inputs": inputs, "runProperties": timing}
    return msgspec.convert(wanted, type=Probe)


if __name__ == "__main__":
    main()
