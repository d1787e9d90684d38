"""Compiles the eBPF program with BCC (Debian's python3-bpfcc) for the running kernel; the only module that imports it.

A compile takes half a second to three seconds of a processor, and 150 MiB, so that the loader keeps what comes out.
Otherwise the standard library only.
"""

import os
import platform
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from node_agent.privileged import bpf_structs, btf, kernel_headers
from node_agent.privileged.bpf_structs import Options
from node_agent.privileged.load_diagnosis import LoadError
from node_agent.privileged.program_code import (
    ITERATORS,
    TRACED,
    Program,
    ProgramCode,
    map_size,
    mark_kernel_function,
    renumbered,
)


class Perf(NamedTuple):
    """The descriptors of a program at a perf tracepoint, which BCC attaches as it loads."""

    program: int
    link: int


class Compiled(NamedTuple):
    """The code, its tables, which BCC has made, and with the method `tracepoint` what BCC has attached."""

    code: ProgramCode
    maps: dict[str, int]
    perf: Perf | None


def find_headers() -> tuple[str, list[str]]:
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


def socket_definitions(kernel: btf.Kernel) -> dict[str, int | str]:
    """Return the offsets of bpf/open_sockets.c; empty if the kernel lacks one of them or the iterator."""
    try:
        for target in ITERATORS.values():
            kernel.function(target)
        return btf.socket_definitions(kernel)
    except LookupError:
        return {}


def definitions(kernel: btf.Kernel, options: Options) -> dict[str, int | str]:
    """What the program is told of the kernel, its tables and its method."""
    capacity = bpf_structs.Capacity.of(options)
    found = btf.definitions(kernel) | (btf.volume_definitions(kernel) if capacity.volume else {})
    found |= {name.upper(): entries for name, entries in asdict(capacity).items()}
    found["SEED"] = f"{secrets.randbits(64)}ULL"
    found |= {"PERF_TRACEPOINT": 1} if options.get("method") == "tracepoint" else {}
    found |= {"MEMORY_HIERARCHY": 1} if memory_is_v1() else {}
    if "blind" in options:  # tests only
        found |= {"BLIND": int(options["blind"]), "BLIND_NETWORK": int(options["blindNetwork"])}
    return found


def compile_program(options: Options) -> Compiled:
    """Compile the program and make its tables; LoadError, or whatever BCC raises."""
    headers, header_flags = find_headers()
    try:
        from bcc import BPF  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(
            "bcc_missing", f"{sys.executable} cannot import bcc ({error}); install python3-bpfcc"
        ) from error
    try:
        kernel = btf.Kernel()
        defined = definitions(kernel, options)
    except OSError as error:
        raise LoadError("btf_missing", f"/sys/kernel/btf/vmlinux: {error}; a kernel with BTF is needed") from error
    except LookupError as error:
        raise LoadError("btf_unknown", str(error)) from error
    sockets = socket_definitions(kernel)
    flags = [f"-D{name}={value}" for name, value in (defined | sockets).items()]
    flags += [f"-I{bpf_structs.BPF_FOLDER}", "-Wno-macro-redefined", "-Wno-address-of-packed-member"]
    flags.append("-Werror=implicit-function-declaration")  # else the verifier refuses it, and the iterator is left out
    sources = [*bpf_structs.SOURCES, *(["open_sockets.c"] if sockets else [])]
    text = "\n".join((bpf_structs.BPF_FOLDER / name).read_text() for name in sources)
    program = BPF(text=text, cflags=flags + header_flags)
    names = [*bpf_structs.Capacity.of(options).maps(), *(["blinded", "blind_runs"] if "blind" in options else [])]
    maps = {name: program[name].get_fd() for name in names}
    perf = None
    if options.get("method") == "tracepoint":
        function = program.funcs[b"tracepoint__sock__inet_sock_set_state"]
        perf = Perf(function.fd, next(iter(program.tracepoint_fds.values())))
    numbers = {descriptor: number for number, descriptor in enumerate(maps.values())}
    programs = {}
    if not perf:
        traced = renumbered(program.dump_func(TRACED), numbers)
        programs[TRACED] = Program(traced, kernel.tracepoint("inet_sock_set_state"))
    for name, target in ITERATORS.items() if sockets else ():
        instructions = renumbered(program.dump_func(name), numbers)
        if "RDONLY_CAST" in sockets:
            instructions = mark_kernel_function(instructions, int(sockets["RDONLY_CAST"]))
        programs[name] = Program(instructions, kernel.function(target))
    sizes = {name: map_size(descriptor) for name, descriptor in maps.items()}
    return Compiled(ProgramCode(sizes, programs, headers), maps, perf)
