"""What preflight makes of machines that we do not have, from values."""

from dataclasses import replace
from pathlib import Path

import pytest

from node_agent.preflight.checks import check_all
from node_agent.preflight.probes import NodeFacts, find_containers, sees_node
from node_agent.privileged.load_diagnosis import Situation

EVERY = (1 << 41) - 1
SITUATION = Situation(1 << 39 | 1 << 38, 0, own_user_namespace=False, lockdown="none", kernel=(6, 1), tracefs=False)
FILTERED = SITUATION._replace(seccomp=2)
GOOD = NodeFacts(
    release="6.1.0", machine="x86_64", situation=SITUATION, btf=True, headers="image", headers_error="", kheaders=False,
    debugfs=False, paranoid="2", unprivileged_bpf="2", kprobes=False, modules="lockdown,yama", cgroup="v2",
    memory_limit=512 << 20, method="raw_tracepoint", node_name="node-a", token_error="", token_rotates=True,
    spool_error="", manager_status=405, manager_error="", tracer="bcc:raw_tracepoint", tracer_reason="",
    tracer_error="", containers=14, unrecognised=(), user=60946, user_error="", sees_node=True, socket_iterator=True,
    directory_error="",
)  # fmt: skip


def on_kernel(major: int, minor: int, capabilities: int = SITUATION.capabilities) -> NodeFacts:
    """The good machine with another kernel."""
    situation = SITUATION._replace(kernel=(major, minor), capabilities=capabilities)
    return replace(GOOD, release=f"{major}.{minor}.0", situation=situation)


def test_good_machine_has_only_ok_lines_and_nothing_to_do() -> None:
    """Twenty-six checks, all well (row 31)."""
    lines = check_all(GOOD)
    assert len(lines) == 26
    assert {(line.state, line.todo) for line in lines} == {("ok", "")}


@pytest.mark.parametrize(
    ("facts", "name", "state", "todo"),
    [
        (on_kernel(4, 14, EVERY), "kernel", "fail", "5.12 or newer is needed"),
        (on_kernel(6, 1, 1 << 39), "capabilities", "fail", "missing CAP_PERFMON:"),
        (replace(GOOD, machine="riscv64"), "architecture", "fail", "x86_64, aarch64"),
        (replace(GOOD, situation=SITUATION._replace(lockdown="confidentiality")), "lockdown", "fail", "integrity"),
        (replace(GOOD, situation=SITUATION._replace(own_user_namespace=True)), "user namespace", "fail", "hostUsers"),
        (replace(GOOD, btf=False), "BTF", "fail", "CONFIG_DEBUG_INFO_BTF"),
        (replace(GOOD, headers="", headers_error="headers_missing: no"), "kernel headers", "fail", "headers_missing"),
        (replace(GOOD, method="tracepoint"), "tracefs", "fail", "raw_tracepoint"),
        (replace(GOOD, memory_limit=64 << 20), "memory limit", "warn", "250 MiB"),
        (replace(GOOD, unrecognised=("/docker/4f",)), "pods recognised", "warn", "their address alone"),
        (replace(GOOD, user=0), "user", "warn", "nodeAgent.runAsUser"),
        (replace(GOOD, user=0, user_error="add SETUID to it"), "user", "fail", "add SETUID to it"),
        (replace(GOOD, socket_iterator=False), "node's processes", "warn", "nodeAgent.hostPID"),
        (replace(GOOD, directory_error="timed out"), "directory", "warn", "NetworkPolicy"),
        (replace(GOOD, sees_node=False), "node's processes", "fail", "node.procFolder"),
        (replace(GOOD, token_rotates=False), "token", "warn", "subPath"),
        (replace(GOOD, manager_status=None, manager_error="tls_expired"), "manager", "fail", "manager.caFile"),
        (replace(GOOD, manager_status=None, manager_error="dns"), "manager", "warn", "wait in the spool"),
        (replace(GOOD, tracer_reason="seccomp_denied", situation=FILTERED), "seccomp", "fail", "Unconfined"),
        (replace(GOOD, tracer_reason="lsm_denied"), "security modules", "fail", "audit log"),
        (replace(GOOD, tracer="", tracer_reason="load_failed", tracer_error="why"), "eBPF program", "fail", "why"),
    ],
)  # fmt: skip
def test_fault_is_one_line_with_what_to_do(facts: NodeFacts, name: str, state: str, todo: str) -> None:
    """Exactly the line of that check changes, and states what to do."""
    lines = {line.name: line for line in check_all(facts)}
    assert lines[name].state == state
    assert todo in lines[name].todo
    assert [line.name for line in lines.values() if line.state != "ok"] == [name]


def test_lockdown_integrity_is_reported_and_well() -> None:
    """Integrity lets programs read kernel memory (row 32)."""
    facts = replace(GOOD, situation=SITUATION._replace(lockdown="integrity"))
    assert next(line for line in check_all(facts) if line.name == "lockdown")[1:] == ("ok", "integrity", "")


def test_containers_are_first_processes_of_a_pid_namespace_and_pods_are_named(tmp_path: Path) -> None:
    """One container of a pod, one of another runtime, a second process of it, a process of the host, one that ended."""
    processes = {
        "101": ("101\t1", "/kubepods/besteffort/pod0d65c44c-1cf6-4c9b-a3f6-7c4dc2f8e3b1/4f"),
        "102": ("102\t1", "/docker/4f"),
        "103": ("103\t7", "/docker/4f"),
        "104": ("104", "/system.slice/sshd.service"),
    }
    for pid, (ids, path) in processes.items():
        folder = tmp_path / pid
        folder.mkdir()
        (folder / "status").write_text(f"Name:\tx\nNSpid:\t{ids}\n")
        (folder / "cgroup").write_text(f"0::{path}\n")
    (tmp_path / "105").mkdir()
    assert find_containers(tmp_path) == (2, ("/docker/4f",))


def test_node_is_visible_unless_the_first_process_is_of_this_container(tmp_path: Path) -> None:
    """A pod whose procFolder shows its own pid namespace alone sees no process of the node; outside pods all count."""
    for name, path in (("1", "0::/"), ("self", "0::/")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup").write_text(path)
    assert not sees_node(tmp_path, "0d65c44c-1cf6-4c9b-a3f6-7c4dc2f8e3b1")
    assert sees_node(tmp_path, "")
    (tmp_path / "1" / "cgroup").write_text("0::/../../../init.scope")
    assert sees_node(tmp_path, "0d65c44c-1cf6-4c9b-a3f6-7c4dc2f8e3b1")
    assert not sees_node(tmp_path / "absent", "")
