"""Judges whether this machine can be traced and its batches delivered: a line a check, `ok`, `warn` or `fail`. Pure.

`fail`: the node agent could not do its work here; `warn`: it can, but something is worth a look.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from node_agent.preflight.probes import Facts
from node_agent.privileged.load_diagnosis import BITS, NEEDED, OLDEST, PLACE, SECCOMP_FILTER
from node_agent.privileged.raw_tracepoint import BPF_SYSCALL

LOADER_PEAK_BYTES = 300 << 20
TLS = "tls_"

State = Literal["ok", "warn", "fail"]


class Line(NamedTuple):
    """One check: what was found, and what to do where that is not well."""

    name: str
    state: State
    found: str
    todo: str = ""


def kernel(facts: Facts) -> Line:
    """The program's atomic operations need 5.12."""
    version = facts.situation.kernel
    if version < OLDEST:
        return Line("kernel", "fail", facts.release, "Linux 5.12 or newer is needed (atomics that return a value)")
    return Line("kernel", "ok", facts.release)


def architecture(facts: Facts) -> Line:
    """System call numbers are known for two."""
    if facts.machine in BPF_SYSCALL:
        return Line("architecture", "ok", facts.machine)
    return Line("architecture", "fail", facts.machine, f"expected one of {', '.join(BPF_SYSCALL)}")


def capabilities(facts: Facts) -> Line:
    """What loading needs on this kernel."""
    now = facts.situation
    held = " ".join(name for name, bit in BITS.items() if now.capabilities >> bit & 1)
    found = f"{now.capabilities:#x} ({held or 'none of ours'})"
    missing = [name for name in NEEDED if not now.holds(name)]
    if missing:
        return Line("capabilities", "fail", found, f"missing {' and '.join(missing)}: add it to {PLACE}")
    return Line("capabilities", "ok", found)


def user_namespace(facts: Facts) -> Line:
    """BPF is not permitted below the first one."""
    if facts.situation.own_user_namespace:
        return Line("user namespace", "fail", "not the first one", "set hostUsers to true for the node agent")
    return Line("user namespace", "ok", "the first one")


def lockdown(facts: Facts) -> Line:
    """Confidentiality forbids reading kernel memory."""
    mode = facts.situation.lockdown
    if mode == "confidentiality":
        return Line("lockdown", "fail", mode, "boot with lockdown=integrity or none: BPF may not read kernel memory")
    return Line("lockdown", "ok", mode)


def btf(facts: Facts) -> Line:
    """Structure offsets come from it."""
    if facts.btf:
        return Line("BTF", "ok", "/sys/kernel/btf/vmlinux")
    return Line(
        "BTF", "fail", "absent or unreadable", "a kernel with CONFIG_DEBUG_INFO_BTF and a readable /sys is needed"
    )


def kernel_headers(facts: Facts) -> Line:
    """Any set will do, from wherever."""
    if facts.headers_error:
        return Line("kernel headers", "fail", "none", facts.headers_error)
    return Line("kernel headers", "ok", f"from the {facts.headers}")


def kheaders(facts: Facts) -> Line:
    """Only the last resort for headers."""
    return Line("kheaders", "ok", "present" if facts.kheaders else "absent (not needed with other headers)")


def tracefs(facts: Facts) -> Line:
    """Only the perf tracepoint reads its format there."""
    if facts.situation.tracefs:
        return Line("tracefs", "ok", "readable")
    if facts.method == "tracepoint":
        todo = "mount /sys/kernel/tracing read-only, or use node.method raw_tracepoint, which needs none"
        return Line("tracefs", "fail", "not readable", todo)
    return Line("tracefs", "ok", "not readable (not needed by a raw tracepoint)")


def debugfs(facts: Facts) -> Line:
    """Only another place for tracefs."""
    return Line("debugfs", "ok", "mounted" if facts.debugfs else "not mounted (not needed)")


def paranoid(facts: Facts) -> Line:
    """CAP_PERFMON passes it by."""
    return Line("perf_event_paranoid", "ok", f"{facts.paranoid or 'unknown'} (CAP_PERFMON passes it by)")


def unprivileged_bpf(facts: Facts) -> Line:
    """CAP_BPF passes it by; open maps stay usable."""
    return Line("unprivileged_bpf_disabled", "ok", f"{facts.unprivileged_bpf or 'unknown'} (CAP_BPF passes it by)")


def kprobes(facts: Facts) -> Line:
    """None is used."""
    return Line("kprobes", "ok", f"{'available' if facts.kprobes else 'not available'} (not needed)")


def seccomp(facts: Facts) -> Line:
    """An old default profile refuses bpf(2)."""
    mode = facts.situation.seccomp
    if mode == SECCOMP_FILTER and facts.tracer_reason == "seccomp_denied":
        return Line("seccomp", "fail", "mode 2 (filter), which refuses bpf(2)", "set seccompProfile to Unconfined")
    return Line("seccomp", "ok", f"mode {mode}{' (filter)' if mode == SECCOMP_FILTER else ''}")


def security_modules(facts: Facts) -> Line:
    """AppArmor or SELinux may refuse what capabilities allow."""
    found = facts.modules or "unknown (no securityfs here)"
    if facts.tracer_reason == "lsm_denied":
        return Line("security modules", "fail", found, "see the node's audit log for denied `bpf`")
    return Line("security modules", "ok", found)


def cgroups(facts: Facts) -> Line:
    """Every layout is read."""
    return Line("cgroup", "ok", facts.cgroup)


def memory(facts: Facts) -> Line:
    """The compiler's peak counts against the container's limit."""
    limit = facts.memory_limit
    if limit is None:
        return Line("memory limit", "ok", "none")
    found = f"{limit >> 20} MiB"
    if limit < LOADER_PEAK_BYTES:
        return Line(
            "memory limit", "warn", found, "the compiler needs about 250 MiB for a second: expected 300 or more"
        )
    return Line("memory limit", "ok", found)


def node_name(facts: Facts) -> Line:
    """The window's records carry it."""
    if facts.node_name:
        return Line("NODE_NAME", "ok", facts.node_name)
    return Line("NODE_NAME", "fail", "empty", "set it from the downward API: fieldRef fieldPath spec.nodeName")


def token(facts: Facts) -> Line:
    """Without one nothing is sent."""
    if facts.token_error:
        return Line("token", "fail", "none", facts.token_error)
    if not facts.token_rotates:
        return Line("token", "warn", "readable, will not rotate", "mount the Secret's folder instead of a subPath")
    return Line("token", "ok", "readable")


def spool(facts: Facts) -> Line:
    """What cannot be sent waits there."""
    if facts.spool_error:
        return Line("spool folder", "fail", facts.spool_error, "expected a folder to write to (spool.folder)")
    return Line("spool folder", "ok", "writable")


def manager(facts: Facts) -> Line:
    """Away for a while is no failure; one that cannot be trusted is."""
    if facts.manager_status is not None:
        return Line("manager", "ok", f"answers (HEAD: {facts.manager_status})")
    if facts.manager_error.startswith((TLS, "settings")):
        return Line("manager", "fail", facts.manager_error, "see manager.url, manager.caFile, mtls.*; nothing is sent")
    return Line("manager", "warn", f"no answer: {facts.manager_error}", "batches wait in the spool until it answers")


def program(facts: Facts) -> Line:
    """The whole of it: compiled, loaded, attached."""
    if facts.tracer_error:
        return Line("eBPF program", "fail", facts.tracer_reason, facts.tracer_error)
    return Line("eBPF program", "ok", facts.tracer)


CHECKS: tuple[Callable[[Facts], Line], ...] = (
    kernel,
    architecture,
    capabilities,
    user_namespace,
    lockdown,
    btf,
    kernel_headers,
    kheaders,
    tracefs,
    debugfs,
    paranoid,
    unprivileged_bpf,
    kprobes,
    seccomp,
    security_modules,
    cgroups,
    memory,
    program,
    node_name,
    token,
    spool,
    manager,
)


def judge(facts: Facts) -> list[Line]:
    """Every check, in the order of `CHECKS`."""
    return [check(facts) for check in CHECKS]
