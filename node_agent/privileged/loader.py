"""Compiles, loads and attaches the eBPF program, hands its file descriptors over a Unix socket, and exits.

Runs for about a second, as a process of its own, with the system's Python: it alone imports `bcc` (Debian's
python3-bpfcc) and otherwise only the standard library.

    python3 -I loader.py SOCKET_FD

Reads one JSON request from the socket (`Options`), answers with one JSON message: `{"names": [...], ...}` with one
descriptor per name beside it (SCM_RIGHTS), or `{"error": "...", "reason": "..."}`. The program
counts nothing until the agent sets its times in `control`.
"""

import json
import os
import platform
import resource
import secrets
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node_agent.privileged import bpf_structs, btf, kernel_headers, load_diagnosis, raw_tracepoint, socket_iterator


class LoadError(Exception):
    """Why there is no tracer: a sentence; `reason` is a metric label."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def header_flags() -> tuple[str, list[str]]:
    """Return the source of kernel headers and compiler flags for them; set BCC_KERNEL_SOURCE if needed."""
    try:
        found = kernel_headers.find(platform.release(), platform.machine(), os.environ)
    except kernel_headers.HeadersError as error:
        raise LoadError(error.reason, str(error)) from error
    if found.folder:
        os.environ["BCC_KERNEL_SOURCE"] = found.folder
    return found.source, list(found.flags)


def memory_is_v1() -> bool:
    """Return whether the memory controller is on cgroup v1 (cgroups(7): in /proc/cgroups hierarchy 0 is v2)."""
    for line in Path("/proc/cgroups").read_text().splitlines():
        fields = line.split()
        if fields and fields[0] == "memory":
            return fields[1] != "0"
    return False


def compile_program(options: dict[str, int | str], more_flags: list[str]) -> tuple[object, int, str]:
    """Compile and load the program; return `(BPF object, program fd, tracer)`."""
    try:
        from bcc import BPF  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(
            "bcc_missing", f"{sys.executable} cannot import bcc ({error}); install python3-bpfcc"
        ) from error
    try:
        kernel = btf.Kernel()
        offsets = btf.definitions(kernel)
        if bpf_structs.Capacity.of(options).volume:
            offsets |= btf.volume_definitions(kernel)
    except OSError as error:
        raise LoadError("btf_missing", f"/sys/kernel/btf/vmlinux: {error}; a kernel with BTF is needed") from error
    except LookupError as error:
        raise LoadError("btf_unknown", str(error)) from error
    perf = options.get("method") == "tracepoint"
    flags = [f"-D{name}={value}" for name, value in offsets.items()]
    flags += [f"-D{name.upper()}={entries}" for name, entries in asdict(bpf_structs.Capacity.of(options)).items()]
    flags.append(f"-DSEED={secrets.randbits(64)}ULL")
    flags += ["-DPERF_TRACEPOINT"] if perf else []
    flags += ["-DMEMORY_HIERARCHY"] if memory_is_v1() else []
    if "blind" in options:  # tests only
        flags += [f"-DBLIND={int(options['blind'])}", f"-DBLIND_NETWORK={int(options['blindNetwork'])}"]
    flags += [f"-I{bpf_structs.BPF_FOLDER}", "-Wno-macro-redefined", "-Wno-address-of-packed-member"]
    flags.append("-Werror=implicit-function-declaration")  # else the verifier refuses it, and the iterator is left out
    flags += more_flags
    sources = [*bpf_structs.SOURCES]
    if socket_offsets := socket_definitions(kernel):
        flags += [f"-D{name}={value}" for name, value in socket_offsets.items()]
        sources.append("open_sockets.c")
    program = BPF(text="\n".join((bpf_structs.BPF_FOLDER / name).read_text() for name in sources), cflags=flags)
    if perf:
        function = program.funcs[b"tracepoint__sock__inet_sock_set_state"]
        return program, function.fd, "bcc:tracepoint"
    tracepoint = kernel.tracepoint("inet_sock_set_state")
    return program, raw_tracepoint.load(program.dump_func("on_state"), tracepoint), "bcc:raw_tracepoint"


def socket_definitions(kernel: btf.Kernel) -> dict[str, int | str]:
    """Return the offsets of bpf/open_sockets.c; empty if the kernel lacks one of them or the iterator."""
    try:
        kernel.function(socket_iterator.TARGET)
        kernel.function(socket_iterator.TASKS)
        return btf.socket_definitions(kernel)
    except LookupError:
        return {}


def open_iterators(program: object, options: dict[str, int | str]) -> tuple[dict[str, int], str | None]:
    """Return the iterators over the node's sockets and tasks by their names, or none and the reason."""
    kernel = btf.Kernel()
    definitions = socket_definitions(kernel)
    if not definitions:
        return {}, "the kernel has no task_file iterator or lacks a field of bpf/open_sockets.c"
    opened: dict[str, int] = {}
    for name, function, target in (
        ("sockets", "each_file", socket_iterator.TARGET),
        ("tasks", "each_task", socket_iterator.TASKS),
    ):
        count = int(options.get("socketIterators" if name == "sockets" else "taskIterators", 0))
        instructions = program.dump_func(function)  # type: ignore[attr-defined]
        if "RDONLY_CAST" in definitions:
            instructions = raw_tracepoint.mark_kernel_function(instructions, int(definitions["RDONLY_CAST"]))
        try:
            iterators = socket_iterator.open_iterators(instructions, kernel.function(target), count)
        except OSError as error:
            return opened, f"iterator {target}: {error.strerror}"
        opened |= {f"{name}{number}": descriptor for number, descriptor in enumerate(iterators)}
    return opened, None


def attach(program: object, program_fd: int, tracer: str) -> int:
    """Attach the program; return the descriptor that keeps it attached."""
    if tracer == "bcc:tracepoint":
        return int(next(iter(program.tracepoint_fds.values())))  # type: ignore[attr-defined]
    try:
        return raw_tracepoint.attach(program_fd)
    except OSError as error:
        raise LoadError("attach_failed", f"raw tracepoint inet_sock_set_state: {error.strerror}") from error


def load(options: dict[str, int | str]) -> tuple[dict[str, object], list[int]]:
    """Return the answer and its descriptors: maps, `program`, `link` in the order of `names`."""
    started = time.monotonic()
    source, flags = header_flags()
    program, program_fd, tracer = compile_program(options, flags)
    capacity = bpf_structs.Capacity.of(options)
    names = [*capacity.maps(), *(["blinded"] if "blind" in options else [])]
    maps = {name: program[name].get_fd() for name in names}  # type: ignore[index]
    descriptors = {**maps, "program": program_fd, "link": attach(program, program_fd, tracer)}
    iterators, iterator_error = open_iterators(program, options)
    descriptors.update(iterators)
    answer: dict[str, object] = {
        "names": list(descriptors),
        "socketIteratorError": iterator_error,
        "tracer": tracer,
        "capacity": asdict(capacity),
        "mapBytes": capacity.kernel_bytes(),
        "headers": source,
        "memoryHierarchy": memory_is_v1(),
        "seconds": round(time.monotonic() - started, 3),
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return answer, list(descriptors.values())


def failure(error: Exception, output: str, options: dict[str, int | str]) -> dict[str, object]:
    """Return the answer for a failed load, with the diagnosis instead of BCC's message."""
    if isinstance(error, LoadError) and error.reason != "attach_failed":
        return {"error": str(error), "reason": error.reason}
    found = load_diagnosis.diagnose(
        f"{error}; {output}", options.get("method") == "tracepoint", load_diagnosis.situation()
    )
    return {"error": found.text, "reason": found.reason}


def main() -> None:
    """Serve the one request on the socket given as the first argument."""
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        options = json.loads(channel.recv(65536))
        output = os.memfd_create("stderr")
        stderr = os.dup(2)
        os.dup2(output, 2)
        descriptors: list[int] = []
        try:
            answer, descriptors = load(options)
        except Exception as error:  # noqa: BLE001 - every failure is reported to the agent
            answer = failure(error, os.pread(output, 65536, 0).decode("utf-8", "replace"), options)
        os.dup2(stderr, 2)
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)
    os._exit(0)  # BCC's clean-up at exit takes a while, and the descriptors are the agent's now


if __name__ == "__main__":
    main()
