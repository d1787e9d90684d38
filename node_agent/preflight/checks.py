"""Checks whether this machine can be traced and its batches delivered: one `ok`, `warn` or `fail` per check. Pure.

`fail`: the node agent cannot work here; `warn`: it can, but something needs attention.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from node_agent.preflight.probes import NodeFacts
from node_agent.privileged.load_diagnosis import BITS, NEEDED, OLDEST, PLACE, SECCOMP_FILTER
from node_agent.privileged.raw_tracepoint import BPF_SYSCALL

LOADER_PEAK_BYTES = 300 << 20
TLS = "tls_"
POLICY = "see a NetworkPolicy, too"

State = Literal["ok", "warn", "fail"]


class CheckResult(NamedTuple):
    """One check: what was found, and what to do if it is not ok."""

    name: str
    state: State
    found: str
    todo: str = ""


def kernel(facts: NodeFacts) -> CheckResult:
    """Check for 5.12, which has the atomic operations that the program uses."""
    version = facts.situation.kernel
    if version < OLDEST:
        return CheckResult(
            "kernel", "fail", facts.release, "Linux 5.12 or newer is needed (atomics that return a value)"
        )
    return CheckResult("kernel", "ok", facts.release)


def architecture(facts: NodeFacts) -> CheckResult:
    """Check that the numbers of system calls are known for this architecture."""
    if facts.machine in BPF_SYSCALL:
        return CheckResult("architecture", "ok", facts.machine)
    return CheckResult("architecture", "fail", facts.machine, f"expected one of {', '.join(BPF_SYSCALL)}")


def capabilities(facts: NodeFacts) -> CheckResult:
    """Check the capabilities that loading needs."""
    now = facts.situation
    held = " ".join(name for name, bit in BITS.items() if now.capabilities >> bit & 1)
    found = f"{now.capabilities:#x} ({held or 'none of ours'})"
    missing = [name for name in NEEDED if not now.holds(name)]
    if missing:
        return CheckResult("capabilities", "fail", found, f"missing {' and '.join(missing)}: add it to {PLACE}")
    return CheckResult("capabilities", "ok", found)


def user_namespace(facts: NodeFacts) -> CheckResult:
    """Check for the initial user namespace: BPF is not permitted in others."""
    if facts.situation.own_user_namespace:
        return CheckResult("user namespace", "fail", "not the first one", "set hostUsers to true for the node agent")
    return CheckResult("user namespace", "ok", "the first one")


def lockdown(facts: NodeFacts) -> CheckResult:
    """Check the lockdown mode: confidentiality forbids reading kernel memory."""
    mode = facts.situation.lockdown
    if mode == "confidentiality":
        return CheckResult(
            "lockdown", "fail", mode, "boot with lockdown=integrity or none: BPF may not read kernel memory"
        )
    return CheckResult("lockdown", "ok", mode)


def btf(facts: NodeFacts) -> CheckResult:
    """Check for BTF, the source of structure offsets."""
    if facts.btf:
        return CheckResult("BTF", "ok", "/sys/kernel/btf/vmlinux")
    return CheckResult(
        "BTF", "fail", "absent or unreadable", "a kernel with CONFIG_DEBUG_INFO_BTF and a readable /sys is needed"
    )


def kernel_headers(facts: NodeFacts) -> CheckResult:
    """Check for kernel headers; any set works."""
    if facts.headers_error:
        return CheckResult("kernel headers", "fail", "none", facts.headers_error)
    return CheckResult("kernel headers", "ok", f"from the {facts.headers}")


def kheaders(facts: NodeFacts) -> CheckResult:
    """Report whether the kernel has its own headers, the last resort."""
    return CheckResult("kheaders", "ok", "present" if facts.kheaders else "absent (not needed with other headers)")


def tracefs(facts: NodeFacts) -> CheckResult:
    """Check tracefs, which only the perf tracepoint needs."""
    if facts.situation.tracefs:
        return CheckResult("tracefs", "ok", "readable")
    if facts.method == "tracepoint":
        todo = "mount /sys/kernel/tracing read-only, or use node.method raw_tracepoint, which needs none"
        return CheckResult("tracefs", "fail", "not readable", todo)
    return CheckResult("tracefs", "ok", "not readable (not needed by a raw tracepoint)")


def debugfs(facts: NodeFacts) -> CheckResult:
    """Report whether debugfs, another place of tracefs, is mounted."""
    return CheckResult("debugfs", "ok", "mounted" if facts.debugfs else "not mounted (not needed)")


def paranoid(facts: NodeFacts) -> CheckResult:
    """Report the sysctl; CAP_PERFMON overrides it."""
    return CheckResult("perf_event_paranoid", "ok", f"{facts.paranoid or 'unknown'} (CAP_PERFMON passes it by)")


def unprivileged_bpf(facts: NodeFacts) -> CheckResult:
    """Report the sysctl; CAP_BPF overrides it, and open maps stay usable."""
    return CheckResult(
        "unprivileged_bpf_disabled", "ok", f"{facts.unprivileged_bpf or 'unknown'} (CAP_BPF passes it by)"
    )


def kprobes(facts: NodeFacts) -> CheckResult:
    """Report whether kprobes are available; none is used."""
    return CheckResult("kprobes", "ok", f"{'available' if facts.kprobes else 'not available'} (not needed)")


def seccomp(facts: NodeFacts) -> CheckResult:
    """Check the seccomp mode: an old default profile refuses bpf(2)."""
    mode = facts.situation.seccomp
    if mode == SECCOMP_FILTER and facts.tracer_reason == "seccomp_denied":
        return CheckResult(
            "seccomp", "fail", "mode 2 (filter), which refuses bpf(2)", "set seccompProfile to Unconfined"
        )
    return CheckResult("seccomp", "ok", f"mode {mode}{' (filter)' if mode == SECCOMP_FILTER else ''}")


def security_modules(facts: NodeFacts) -> CheckResult:
    """Check security modules, which may refuse what capabilities allow."""
    found = facts.modules or "unknown (no securityfs here)"
    if facts.tracer_reason == "lsm_denied":
        return CheckResult("security modules", "fail", found, "see the node's audit log for denied `bpf`")
    return CheckResult("security modules", "ok", found)


def cgroups(facts: NodeFacts) -> CheckResult:
    """Report the cgroup layout; every layout is supported."""
    return CheckResult("cgroup", "ok", facts.cgroup)


def memory(facts: NodeFacts) -> CheckResult:
    """Check the container's memory limit against the compiler's peak."""
    limit = facts.memory_limit
    if limit is None:
        return CheckResult("memory limit", "ok", "none")
    found = f"{limit >> 20} MiB"
    if limit < LOADER_PEAK_BYTES:
        return CheckResult(
            "memory limit", "warn", found, "the compiler needs about 250 MiB for a second: expected 300 or more"
        )
    return CheckResult("memory limit", "ok", found)


def node_name(facts: NodeFacts) -> CheckResult:
    """Check that the node has a name, which every record carries."""
    if facts.node_name:
        return CheckResult("NODE_NAME", "ok", facts.node_name)
    return CheckResult("NODE_NAME", "fail", "empty", "set it from the downward API: fieldRef fieldPath spec.nodeName")


def token(facts: NodeFacts) -> CheckResult:
    """Check the token, without which nothing is sent."""
    if facts.token_error:
        return CheckResult("token", "fail", "none", facts.token_error)
    if not facts.token_rotates:
        return CheckResult(
            "token", "warn", "readable, will not rotate", "mount the Secret's folder instead of a subPath"
        )
    return CheckResult("token", "ok", "readable")


def spool(facts: NodeFacts) -> CheckResult:
    """Check the spool folder, where batches wait for the manager."""
    if facts.spool_error:
        return CheckResult("spool folder", "fail", facts.spool_error, "expected a folder to write to (spool.folder)")
    return CheckResult("spool folder", "ok", "writable")


def manager(facts: NodeFacts) -> CheckResult:
    """Check the manager; one that cannot be reached is a warning, one that cannot be trusted a failure."""
    if facts.manager_status is not None:
        return CheckResult("manager", "ok", f"answers (HEAD: {facts.manager_status})")
    if facts.manager_error.startswith((TLS, "settings")):
        return CheckResult(
            "manager", "fail", facts.manager_error, "see manager.url, manager.caFile, mtls.*; nothing is sent"
        )
    return CheckResult(
        "manager", "warn", f"no answer: {facts.manager_error}", f"batches wait in the spool until it answers; {POLICY}"
    )


def directory(facts: NodeFacts) -> CheckResult:
    """Check the collector's directory; windows wait for one that does not answer."""
    if facts.directory_error:
        return CheckResult(
            "directory", "warn", facts.directory_error, f"captures wait in the spool until it answers; {POLICY}"
        )
    return CheckResult("directory", "ok", "answers")


def pods_recognised(facts: NodeFacts) -> CheckResult:
    """Check that the cgroup names of every running container name its pod."""
    named = facts.containers - len(facts.unrecognised)
    found = f"{named} of {facts.containers} containers"
    if not facts.unrecognised:
        return CheckResult("pods recognised", "ok", found)
    return CheckResult(
        "pods recognised",
        "warn",
        f"{found}; not {facts.unrecognised[0]!r}",
        "no kubelet runs them, or their cgroup names have another shape: their address alone can name their pod",
    )


def user(facts: NodeFacts) -> CheckResult:
    """Check that the processes that stay give up uid 0."""
    if facts.user_error:
        return CheckResult("user", "fail", f"uid {facts.user}", facts.user_error)
    if facts.user == 0:
        todo = "set node.runAsUser to a user id that nothing else has (the chart: nodeAgent.runAsUser)"
        return CheckResult("user", "warn", "uid 0", todo)
    return CheckResult("user", "ok", f"uid {facts.user}")


def node_processes(facts: NodeFacts) -> CheckResult:
    """Check that the node's processes are visible: connections from before a window are found by them."""
    if not facts.sees_node:
        todo = "share the node's pid namespace (the chart: nodeAgent.hostPID), or mount its /proc as node.procFolder"
        return CheckResult("node's processes", "fail", "those of this container alone", todo)
    if not facts.socket_iterator:
        todo = (
            "in a pid namespace of its own the agent looks for open connections in /proc: one end, without bytes; "
            "the chart's nodeAgent.hostPID shares the node's"
        )
        return CheckResult("node's processes", "warn", "visible, not to a socket iterator", todo)
    return CheckResult("node's processes", "ok", "visible, also to a socket iterator")


def program(facts: NodeFacts) -> CheckResult:
    """Check that the program was compiled, loaded and attached."""
    if facts.tracer_error:
        return CheckResult("eBPF program", "fail", facts.tracer_reason, facts.tracer_error)
    return CheckResult("eBPF program", "ok", facts.tracer)


CHECKS: tuple[Callable[[NodeFacts], CheckResult], ...] = (
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
    user,
    node_processes,
    pods_recognised,
    program,
    node_name,
    token,
    spool,
    manager,
    directory,
)


def check_all(facts: NodeFacts) -> list[CheckResult]:
    """Return the result of every check, in the order of `CHECKS`."""
    return [check(facts) for check in CHECKS]
