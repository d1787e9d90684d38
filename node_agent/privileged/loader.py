"""Loads and attaches the eBPF program, hands its file descriptors over a Unix socket, and exits.

A process of its own, with the system's Python and its standard library. The first one compiles, for about a second;
what it compiled is kept in a memfd (`kept_code`), from which the next ones load it in a tenth of that.

    python3 -I loader.py SOCKET_FD [KEPT_FD]

Reads one JSON request from the socket (`Options`), answers with one JSON message: `{"names": [...], ...}` with one
descriptor per name beside it (SCM_RIGHTS), or `{"error": "...", "reason": "..."}`. The program
counts nothing until the agent sets its times in `control`.
"""

import json
import os
import resource
import socket
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node_agent.privileged import bpf_structs, kept_code, load_diagnosis, raw_tracepoint, socket_iterator
from node_agent.privileged.bpf_structs import Options
from node_agent.privileged.load_diagnosis import LoadError
from node_agent.privileged.program_code import ITERATORS, TRACED, Program, ProgramCode, create_maps, renumbered


def open_iterators(code: ProgramCode, maps: dict[str, int], options: Options) -> tuple[dict[str, int], str | None]:
    """Return the iterators over the node's sockets and tasks by their names, or none and the reason."""
    opened: dict[str, int] = {}
    for name, function in (("socket", "each_file"), ("task", "each_task")):
        program = code.programs.get(function)
        if program is None:
            return {}, "the kernel has no task_file iterator or lacks a field of bpf/open_sockets.c"
        count = int(options.get(f"{name}Iterators", 0))
        try:
            iterators = socket_iterator.open_iterators(with_maps(program, maps), program.target, count)
        except OSError as error:
            return opened, f"iterator {ITERATORS[function]}: {error.strerror}"
        opened |= {f"{name}s{number}": descriptor for number, descriptor in enumerate(iterators)}
    return opened, None


def with_maps(program: Program, maps: dict[str, int]) -> bytes:
    """A program's instructions with the descriptors of these tables."""
    return renumbered(program.instructions, dict(enumerate(maps.values())))


def attach(code: ProgramCode, maps: dict[str, int]) -> tuple[int, int]:
    """Load and attach the program; return its descriptor, and the one that keeps it attached."""
    traced = code.programs[TRACED]
    program = raw_tracepoint.load(with_maps(traced, maps), traced.target)
    try:
        return program, raw_tracepoint.attach(program)
    except OSError as error:
        raise LoadError("attach_failed", f"raw tracepoint inet_sock_set_state: {error.strerror}") from error


def load(options: Options, kept: int) -> tuple[dict[str, object], list[int]]:
    """Return the answer and its descriptors: maps, `program`, `link` in the order of `names`."""
    started = time.monotonic()
    code, compiled = kept_code.read(kept, options), None
    if code is None:
        from node_agent.privileged import compiler  # noqa: PLC0415 - once for many loads

        compiled = compiler.compile_program(options)
        code = compiled.code
    maps = compiled.maps if compiled else create_maps(code.maps)
    program, link = (compiled and compiled.perf) or attach(code, maps)
    iterators, iterator_error = open_iterators(code, maps, options)
    if compiled and not compiled.perf:
        kept_code.write(kept, options, code)  # it has passed the verifier
    descriptors = {**maps, "program": program, "link": link, **iterators}
    capacity = bpf_structs.Capacity.of(options)
    answer: dict[str, object] = {
        "names": list(descriptors),
        "socketIteratorError": iterator_error,
        "tracer": "bcc:raw_tracepoint" if TRACED in code.programs else "bcc:tracepoint",
        "capacity": asdict(capacity),
        "mapBytes": capacity.kernel_bytes(),
        "headers": code.headers,
        "compiled": compiled is not None,
        "seconds": round(time.monotonic() - started, 3),
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return answer, list(descriptors.values())


def failure(error: Exception, output: str, options: Options) -> dict[str, object]:
    """Return the answer for a failed load, with the diagnosis instead of BCC's message."""
    if isinstance(error, LoadError) and error.reason != "attach_failed":
        return {"error": str(error), "reason": error.reason}
    found = load_diagnosis.diagnose(
        f"{error}; {output}", options.get("method") == "tracepoint", load_diagnosis.situation()
    )
    return {"error": found.text, "reason": found.reason}


def main() -> None:
    """Serve the one request on the socket given as the first argument; the second is the memfd, if any."""
    kept = int(sys.argv[2]) if len(sys.argv) > 2 else os.memfd_create("code")
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        options = json.loads(channel.recv(65536))
        output = os.memfd_create("stderr")
        stderr = os.dup(2)
        os.dup2(output, 2)
        descriptors: list[int] = []
        try:
            answer, descriptors = load(options, kept)
        except Exception as error:  # noqa: BLE001 - every failure is reported to the agent
            answer = failure(error, os.pread(output, 65536, 0).decode("utf-8", "replace"), options)
        os.dup2(stderr, 2)
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)
    os._exit(0)  # BCC's clean-up at exit takes a while, and the descriptors are the agent's now


if __name__ == "__main__":
    main()
