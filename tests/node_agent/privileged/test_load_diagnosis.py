"""Causes that no machine of ours has: told from values. The others are tested with the real program."""

import pytest

from node_agent.privileged.load_diagnosis import Situation, diagnose, kernel_version, lockdown_mode

GOOD = Situation(1 << 39 | 1 << 38, 0, own_user_namespace=False, lockdown="none", kernel=(6, 1), tracefs=True)
VERIFIER = "bpf: Failed to load program: Permission denied\n0: (79) r7 = *(u64 *)(r1 +8)"


@pytest.mark.parametrize(
    ("said", "now", "reason", "named"),
    [
        ("Operation not permitted", GOOD._replace(lockdown="confidentiality"), "lockdown_confidentiality", "integrity"),
        ("Invalid argument", GOOD._replace(kernel=(5, 4)), "kernel_too_old", "is Linux 5.4, expected 5.12 or newer"),
        (VERIFIER, GOOD, "load_failed", "Permission denied"),
        ("Read-only file system", GOOD, "tmp_unwritable", "temporary folder"),
        ("error: unknown type", GOOD, "load_failed", "unknown type"),
    ],
)
def test_cause_is_diagnosed_from_the_message_and_the_machine(
    said: str, now: Situation, reason: str, named: str
) -> None:
    """A verifier's complaint is no security module, lockdown is no capability, an old kernel old (rows 33 and 34)."""
    found = diagnose(said, perf=False, now=now)
    assert found.reason == reason
    assert named in found.text


@pytest.mark.parametrize(
    ("release", "version"), [("6.1.0-56-amd64", (6, 1)), ("5.4.17-2136.el8uek", (5, 4)), ("odd", (0, 0))]
)
def test_kernel_release_is_read_as_numbers(release: str, version: tuple[int, int]) -> None:
    """Distributions append what they like."""
    assert kernel_version(release) == version


def test_lockdown_mode_is_the_one_in_brackets() -> None:
    """As the kernel writes it; a machine without the file has none."""
    assert lockdown_mode("none [integrity] confidentiality\n") == "integrity"
    assert lockdown_mode("") == "none"
