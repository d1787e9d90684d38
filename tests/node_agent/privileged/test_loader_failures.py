"""What a real loader says where it cannot load the program: the cause by name, never the compiler's words for it."""

import sys
from pathlib import Path

import pytest

from tests.node_agent.kernel_side import CHECKOUT, load_under

pytestmark = pytest.mark.kernel

PERF = {"method": "tracepoint"}
IN_A_MOUNT_NAMESPACE = ["unshare", "-m", "--wd", str(CHECKOUT), "sh", "-c"]
# The working directory is the checkout as it was before the mounts; it may be below one of them.
SHOW_CHECKOUT = 'mkdir -p "$0" && mount --no-canonicalize --bind . "$0" && cd /'
# For a user who may not read the checkout or enter the folders above it.
SHOW_TO_ALL = "mount -t tmpfs none /mnt && cp -r node_agent bpf /mnt && chmod -R a+rX /mnt"
FILTERED = (
    "import os, sys; sys.path.insert(0, {0!r}); from node_agent.privileged import seccomp;"
    "seccomp.libc.prctl(38, 1, 0, 0, 0); seccomp.install({1}, ({2!r},));"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def with_capabilities(*names: str) -> list[str]:
    """The start of a command that runs with exactly these capabilities."""
    only = ",".join(["-all", *(f"+{name}" for name in names)])
    return ["setpriv", "--bounding-set", only, "--inh-caps", only]


def mounted(script: str) -> list[str]:
    """The start of a command that runs after some mounts that nobody else sees; the checkout stays where it is."""
    return [*IN_A_MOUNT_NAMESPACE, f'{script} && {SHOW_CHECKOUT} && exec "$@"', str(CHECKOUT)]


def filtered(repository: Path, error: int, call: str) -> list[str]:
    """The start of a command to which a seccomp filter refuses a system call with that errno."""
    return [sys.executable, "-c", FILTERED.format(str(repository), error, call)]


NO_TRACEFS = "mount -t tmpfs none /sys/kernel/tracing && mount -t tmpfs none /sys/kernel/debug"
NO_HEADERS = "mount -t tmpfs none /usr/src && mount -t tmpfs none /lib/modules"
READ_ONLY_TMP = "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp"  # what lies below it stays visible
DANGLING = f"{NO_HEADERS} && mkdir /lib/modules/$(uname -r) && ln -s /usr/src/gone /lib/modules/$(uname -r)/build"


@pytest.mark.parametrize("method", ["raw_tracepoint", "tracepoint"])
@pytest.mark.parametrize(
    ("held", "missing"),
    [
        (["bpf"], "missing CAP_PERFMON:"),
        (["bpf", "net_admin"], "missing CAP_PERFMON:"),
        (["perfmon"], "missing CAP_BPF:"),
        ([], "missing CAP_BPF and CAP_PERFMON:"),
    ],
)
def test_missing_capability_is_named(held: list[str], missing: str, method: str) -> None:
    """Whatever BCC makes of it, the answer names what to add, and where (rows 20 and 21)."""
    answer = load_under(with_capabilities(*held), method=method)
    assert answer["reason"] == "capability_missing"
    assert answer["error"].startswith(missing)
    assert "securityContext.capabilities.add" in answer["error"]


@pytest.mark.parametrize("held", [["bpf", "perfmon"], ["sys_admin"]])
def test_two_capabilities_or_their_elder_are_enough(held: list[str]) -> None:
    """CAP_BPF and CAP_PERFMON load the raw tracepoint; CAP_SYS_ADMIN stands for both."""
    assert load_under(with_capabilities(*held))["tracer"] == "bcc:raw_tracepoint"


def test_raw_tracepoint_needs_no_root_no_tracefs_and_no_perf_event(repository: Path) -> None:
    """User 65534 with two ambient capabilities loads it without tracefs, and with perf_event_open(2) refused."""
    only = "-all,+bpf,+perfmon"
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", only]
    nobody += ["--inh-caps", only, "--ambient-caps", only]
    prefix = mounted(f"{NO_TRACEFS} && {SHOW_TO_ALL}") + filtered(repository, 1, "perf_event_open") + nobody
    assert load_under(prefix, Path("/mnt"))["tracer"] == "bcc:raw_tracepoint"


def test_perf_tracepoint_needs_a_readable_tracefs() -> None:
    """With tracefs it is loaded, without it the answer says what to mount and what would do without (row 30)."""
    assert load_under(mounted("mount -t tracefs none /sys/kernel/tracing"), **PERF)["tracer"] == "bcc:tracepoint"
    answer = load_under(mounted(NO_TRACEFS), **PERF)
    assert answer["reason"] == "tracefs_missing"
    assert "/sys/kernel/tracing" in answer["error"]
    assert "raw_tracepoint" in answer["error"]


def test_seccomp_filter_that_refuses_bpf_is_hinted_at(repository: Path) -> None:
    """EPERM with the capabilities there and a filter on the process: the hint is seccomp (row 22)."""
    answer = load_under(filtered(repository, 1, "bpf"))
    assert answer["reason"] == "seccomp_denied"
    assert "seccompProfile" in answer["error"]


def test_security_module_that_refuses_bpf_is_hinted_at(repository: Path) -> None:
    """EACCES with the capabilities there and no verifier's complaint: the hint is AppArmor or SELinux (row 23)."""
    answer = load_under(filtered(repository, 13, "bpf"))
    assert answer["reason"] == "lsm_denied"
    assert "AppArmor" in answer["error"]
    assert "SELinux" in answer["error"]


def test_user_namespace_is_distinguished_from_a_missing_capability() -> None:
    """In a user namespace all capabilities are there and none counts: hostUsers is what to change (row 29)."""
    answer = load_under(["unshare", "-U", "-r"])
    assert answer["reason"] == "user_namespace"
    assert "hostUsers" in answer["error"]


@pytest.mark.parametrize(
    ("script", "tried"),
    [
        (NO_HEADERS, ["BCC_KERNEL_SOURCE", "/build (absent)", "/source (absent)", "/usr/src/linux-headers-* (none)"]),
        (DANGLING, ["/build (a link to /usr/src/gone, which is not there: is /usr/src mounted?)", "kheaders"]),
    ],
)
def test_missing_headers_list_what_was_tried(script: str, tried: list[str]) -> None:
    """No headers anywhere: every place that was tried is named, a dangling link with its end (rows 24 and 25)."""
    answer = load_under(mounted(script))
    assert answer["reason"] == "headers_missing"
    assert [place for place in tried if place not in answer["error"]] == []


def test_read_only_temporary_folder_does_not_matter() -> None:
    """The program is compiled in memory (row 28)."""
    probe = "! touch /tmp/podsonar-probe 2>/dev/null"
    assert load_under(mounted(f"{READ_ONLY_TMP} && {probe}"))["tracer"] == "bcc:raw_tracepoint"
