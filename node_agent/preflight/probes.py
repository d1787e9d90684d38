"""Reads the facts for preflight: kernel files below a root, settings, and one real load of the program."""

import os
import platform
import resource
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from delivery.manager_client import probe_manager
from delivery.token_file import MOUNTS, TokenFile, is_mount_point
from node_agent.attribution.directory_client import DirectoryClient
from node_agent.capture.kernel_program import loader_client
from node_agent.capture.open_connections.socket_rows import sees_every_process
from node_agent.capture.pod_cgroup import owner_in_hierarchies
from node_agent.capture.process_table import cgroup_paths, process_ids
from node_agent.privileged import kernel_headers, load_diagnosis
from node_agent.runtime.tracer_lifecycle import LOADER_SECONDS, capacity
from podsonar.errors import PodsonarError, SettingsError, TracerError
from podsonar.settings import AgentSettings


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What was found; texts are empty if a file is absent, `*_error` if there is no error."""

    release: str
    machine: str
    situation: load_diagnosis.Situation
    btf: bool
    headers: str
    headers_error: str
    kheaders: bool
    debugfs: bool
    paranoid: str
    unprivileged_bpf: str
    kprobes: bool
    modules: str
    cgroup: str
    memory_limit: int | None
    method: str
    node_name: str
    token_error: str
    token_rotates: bool
    spool_error: str
    manager_status: int | None
    manager_error: str
    tracer: str
    tracer_reason: str
    tracer_error: str
    containers: int
    unrecognised: tuple[str, ...]
    user: int
    user_error: str
    sees_node: bool
    socket_iterator: bool
    directory_error: str


def is_container_init(status: str) -> bool:
    """Return whether a process is the first one of a pid namespace of its own (proc(5), NSpid in status)."""
    pids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(pids) > 1 and pids[-1] == "1"


def find_containers(proc_folder: Path) -> tuple[int, tuple[str, ...]]:
    """Return the number of running containers and the cgroup path of each whose names name no pod."""
    containers, unrecognised = 0, []
    for pid in process_ids(proc_folder, Counter()):
        folder = proc_folder / str(pid)
        try:
            if not is_container_init((folder / "status").read_text(errors="replace")):
                continue
            paths = cgroup_paths((folder / "cgroup").read_bytes())
        except OSError:
            continue  # it has ended
        containers += 1
        if owner_in_hierarchies(paths).kind != "pod":
            longest = max(paths, key=len, default=())
            unrecognised.append("/" + "/".join(reversed(longest)))
    return containers, tuple(sorted(unrecognised))


def sees_node(proc_folder: Path, pod_uid: str) -> bool:
    """Return whether the folder shows the node's processes to a pod: the first one is of another cgroup."""
    try:
        first, own = ((proc_folder / name / "cgroup").read_bytes() for name in ("1", "self"))
    except OSError:
        return False
    return not pod_uid or first != own


def headers_source(root: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the source of kernel headers, or why there are none."""
    release = load_diagnosis.text_of(root / "proc/sys/kernel/osrelease").strip()
    try:
        return kernel_headers.find(release, platform.machine(), environment, root).source, ""
    except kernel_headers.HeadersError as error:
        return "", f"{error.reason}: {error}"


def has_kprobes(root: Path) -> bool:
    """Return whether the kernel has kprobes, from its world-readable symbol table."""
    try:
        with (root / "proc/kallsyms").open(encoding="ascii", errors="replace") as file:
            return any(line.split()[2] == "register_kprobe" for line in file)
    except OSError:
        return False


def cgroup_layout(root: Path) -> str:
    """Return `v2`, `v1` or `hybrid`, with the hierarchy that carries the memory controller."""
    mounts = [line.split(" - ", 1)[1].split()[0] for line in mount_lines(root)]
    memory = next(
        (line for line in load_diagnosis.text_of(root / "proc/cgroups").splitlines() if line[:7] == "memory\t"), ""
    )
    number = memory.split()[1] if memory else "0"
    if "cgroup" not in mounts:
        return "v2"
    return f"{'hybrid' if 'cgroup2' in mounts else 'v1'}, memory on {'v2' if number == '0' else 'v1'}"


def mount_lines(root: Path) -> list[str]:
    """Return the lines of the mount table."""
    return [line for line in load_diagnosis.text_of(root / "proc/self/mountinfo").splitlines() if " - " in line]


def memory_limit(root: Path) -> int | None:
    """Return the memory limit of this process in bytes; None if there is none."""
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = load_diagnosis.text_of(root / name).strip()
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def find_token_error(path: str) -> str:
    """Return why the token file gives no token; empty if it gives one."""
    try:
        TokenFile(path).read()
    except PodsonarError as error:
        return str(error)
    return ""


def find_spool_error(folder: str) -> str:
    """Return why no file can be written to the spool folder; empty if one can. The folder is created if absent."""
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
            file.flush()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def ask_manager(settings: AgentSettings) -> tuple[int | None, str]:
    """Return the manager's status, or why there is none."""
    try:
        return probe_manager(settings)
    except SettingsError as error:
        return None, f"settings: {error}"


def ask_directory(settings: AgentSettings) -> str:
    """Return why the directory gives no answer; empty if it gives one, to no question."""
    directory = settings.directory
    try:
        DirectoryClient(directory.url, TokenFile(directory.token_file).read, directory.ca_file or None).ask_once([])
    except PodsonarError as error:
        return str(error)
    return ""


def load_once(settings: AgentSettings, loader: list[str]) -> tuple[str, str, str]:
    """Load, attach and detach the program once; return `(tracer, reason, error)`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(LOADER_SECONDS)
        ours.send(orjson.dumps(capacity(settings)))
        with theirs, subprocess.Popen([*loader, str(theirs.fileno())], pass_fds=[theirs.fileno()]) as process:
            theirs.close()
            try:
                data, descriptors, _flags, _address = socket.recv_fds(ours, 65536, 32)
                tracer, answer = loader_client.program_from_answer(data, descriptors)
                tracer.close()
                refused = answer["socketIteratorError"]
                sockets = f"; open connections from /proc: {refused}" if refused else ""
                return f"{tracer.tracer} in {answer['seconds']} s, {answer['peakBytes'] >> 20} MiB{sockets}", "", ""
            except TracerError as error:
                return "", error.reason, str(error)
            except TimeoutError:
                process.kill()
                return "", "loader_timeout", f"the loader did not answer within {LOADER_SECONDS:.0f} s"


def gather_facts(settings: AgentSettings, loader: list[str], user_error: str = "", root: Path = Path("/")) -> NodeFacts:
    """Return all facts; loads the program once and asks the manager once.

    `user_error`: why this process, which has the agent's user, could not become it.
    """
    source, headers_error = headers_source(root, os.environ)
    status, manager_error = ask_manager(settings)
    tracer, reason, tracer_error = load_once(settings, loader)
    containers, unrecognised = find_containers(Path(settings.node.proc_folder))
    return NodeFacts(
        release=load_diagnosis.text_of(root / "proc/sys/kernel/osrelease").strip(),
        machine=platform.machine(),
        situation=load_diagnosis.situation(root),
        btf=os.access(root / "sys/kernel/btf/vmlinux", os.R_OK),
        headers=source,
        headers_error=headers_error,
        kheaders=(root / kernel_headers.KHEADERS).exists(),
        debugfs=any(" - debugfs " in line for line in mount_lines(root)),
        paranoid=load_diagnosis.text_of(root / "proc/sys/kernel/perf_event_paranoid").strip(),
        unprivileged_bpf=load_diagnosis.text_of(root / "proc/sys/kernel/unprivileged_bpf_disabled").strip(),
        kprobes=has_kprobes(root),
        modules=load_diagnosis.text_of(root / "sys/kernel/security/lsm").strip(),
        cgroup=cgroup_layout(root),
        memory_limit=memory_limit(root),
        method=settings.node.method,
        node_name=settings.node.name,
        token_error=find_token_error(settings.manager.token_file),
        token_rotates=not is_mount_point(Path(settings.manager.token_file), load_diagnosis.text_of(MOUNTS)),
        spool_error=find_spool_error(settings.spool.folder),
        manager_status=status,
        manager_error=manager_error,
        tracer=tracer,
        tracer_reason=reason,
        tracer_error=tracer_error,
        containers=containers,
        unrecognised=unrecognised,
        user=os.geteuid(),
        user_error=user_error,
        sees_node=sees_node(Path(settings.node.proc_folder), settings.node.pod_uid),
        directory_error=ask_directory(settings),
        socket_iterator=sees_every_process(Path(settings.node.proc_folder)),
    )
