"""Finds why the program could not be loaded, as a sentence with what to change: the messages of BCC mislead.

BCC prints "Need super-user privileges to run" when CAP_PERFMON is missing, and usually "Failed to compile BPF module"
when CAP_BPF is. Standard library only: the loader uses it.
"""

import re
from pathlib import Path
from typing import NamedTuple

BITS = {"CAP_BPF": 39, "CAP_PERFMON": 38, "CAP_SYS_ADMIN": 21}
SECCOMP_FILTER = 2
OLDEST = (5, 12)  # atomics that return a value; CAP_BPF 5.8, arrays that can be mapped 5.5
WHOLE_RANGE = ["0", "0", "4294967295"]
VERIFIER_LINE = re.compile(r"(?:^|\s)\d+: \([0-9a-f]{2}\)")
PLACE = "securityContext.capabilities.add of the node agent"


class LoadError(Exception):
    """Why there is no tracer: a sentence; `reason` is a metric label."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Situation(NamedTuple):
    """State of this process and kernel that decides whether a program can be loaded."""

    capabilities: int
    seccomp: int
    own_user_namespace: bool
    lockdown: str
    kernel: tuple[int, int]
    tracefs: bool

    def holds(self, name: str) -> bool:
        """Return whether a capability is effective; CAP_SYS_ADMIN includes the two that were split from it."""
        bits = {BITS[name]} | ({BITS["CAP_SYS_ADMIN"]} if name in ("CAP_BPF", "CAP_PERFMON") else set())
        return any(self.capabilities >> bit & 1 for bit in bits)


class Diagnosis(NamedTuple):
    """`reason` is a metric label, `text` a sentence with what to do."""

    reason: str
    text: str


def text_of(path: Path) -> str:
    """Return a small file's text; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def kernel_version(release: str) -> tuple[int, int]:
    """Return major and minor of a kernel release such as 6.1.0-56-amd64; (0, 0) for another text."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def lockdown_mode(text: str) -> str:
    """Return the mode in brackets of /sys/kernel/security/lockdown; `none` for an empty text."""
    match = re.search(r"\[(\w+)\]", text)
    return match[1] if match else "none"


def tracefs_folder(root: Path) -> Path | None:
    """Return the folder with the tracepoint's format; None if neither tracefs nor debugfs has it."""
    for name in ("sys/kernel/tracing", "sys/kernel/debug/tracing"):
        folder = root / name
        if text_of(folder / "events/sock/inet_sock_set_state/format"):
            return folder
    return None


def situation(root: Path = Path("/")) -> Situation:
    """Return the situation of this process."""
    fields = dict(line.split(":", 1) for line in text_of(root / "proc/self/status").splitlines() if ":" in line)
    return Situation(
        capabilities=int(fields.get("CapEff", "0").strip(), 16),
        seccomp=int(fields.get("Seccomp", "0").strip()),
        own_user_namespace=text_of(root / "proc/self/uid_map").split() not in ([], WHOLE_RANGE),
        lockdown=lockdown_mode(text_of(root / "sys/kernel/security/lockdown")),
        kernel=kernel_version(text_of(root / "proc/sys/kernel/osrelease")),
        tracefs=tracefs_folder(root) is not None,
    )


NEEDED = ("CAP_BPF", "CAP_PERFMON")


def diagnose(output: str, perf: bool, now: Situation) -> Diagnosis:
    """Return the cause of a failed load from the loader's error and stderr; `perf`: by a perf tracepoint."""
    detail = " ".join(output.split())[-300:]
    if (0, 0) < now.kernel < OLDEST:
        found, wanted = (".".join(map(str, version)) for version in (now.kernel, OLDEST))
        return Diagnosis("kernel_too_old", f"this kernel is Linux {found}, expected {wanted} or newer")
    missing = [name for name in NEEDED if not now.holds(name)]
    denied = "Operation not permitted" in output or "super-user" in output
    if missing:
        return Diagnosis("capability_missing", f"missing {' and '.join(missing)}: add it to {PLACE}")
    if now.own_user_namespace and denied:
        return Diagnosis(
            "user_namespace", "BPF is not permitted in a user namespace: set hostUsers to true for the node agent"
        )
    if now.lockdown == "confidentiality":
        return Diagnosis(
            "lockdown_confidentiality",
            "the kernel is locked down (confidentiality) and forbids reading its memory: lockdown=integrity allows it",
        )
    if perf and not now.tracefs:
        return Diagnosis(
            "tracefs_missing",
            "node.method tracepoint reads its format below /sys/kernel/tracing or /sys/kernel/debug/tracing, and "
            "neither shows it to this user: mount one of them, or use node.method raw_tracepoint, which needs none",
        )
    if denied and now.seccomp == SECCOMP_FILTER:
        return Diagnosis(
            "seccomp_denied",
            "the capabilities are there, but a seccomp filter refuses bpf(2) or perf_event_open(2): an old runtime's "
            "default profile does; set seccompProfile to Unconfined or to a profile that allows both",
        )
    if "Permission denied" in output and not VERIFIER_LINE.search(output):
        return Diagnosis(
            "lsm_denied",
            "the capabilities are there, but a security module refuses (EACCES): see AppArmor's or SELinux's log on "
            "the node for denied `bpf`; AppArmor profile unconfined, or SELinux type spc_t",
        )
    if "Read-only file system" in output or "No space left" in output:
        return Diagnosis("tmp_unwritable", f"the compiler cannot write to its temporary folder: {detail}")
    return Diagnosis("load_failed", f"the program was not loaded: {detail}")
