"""Compiles, loads and attaches the eBPF program, hands its file descriptors over a Unix socket, and exits.

Runs for about a second, as a process of its own, with the system's Python: it alone imports `bcc` (Debian's
python3-bpfcc) and otherwise only the standard library.

    python3 -I loader.py SOCKET_FD

Reads one JSON request from the socket (`Options`), answers with one JSON message: `{"names": [...], ...}` with one
descriptor a name beside it (SCM_RIGHTS), or `{"error": "...", "reason": "..."}`.
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

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from node_agent import btf, layout, raw_tracepoint

ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}


class LoadError(Exception):
    """Why there is no tracer: a sentence, and a short reason that is a metric label."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def header_flags(release: str) -> list[str]:
    """Compiler flags for the kernel headers at hand; sets BCC_KERNEL_SOURCE unless BCC finds them by itself.

    BCC looks below /lib/modules/<release>. Any other installed set will do, since the program depends on no kernel
    structure of the headers (offsets come from BTF); Debian splits a set in two packages, <release> and common.
    """
    if os.environ.get("BCC_KERNEL_SOURCE") or (Path("/lib/modules") / release / "build").exists():
        return []
    arch = ARCHITECTURES.get(platform.machine(), platform.machine())
    sets = sorted(
        folder
        for folder in Path("/usr/src").glob("linux-headers-*")
        if (folder / "include/generated/autoconf.h").exists()
    )
    if not sets:
        raise LoadError(
            "headers_missing",
            f"no kernel headers: looked for /lib/modules/{release}/build and /usr/src/linux-headers-*; "
            "install Debian's linux-headers-amd64 (any version will do)",
        )
    headers = sets[-1]
    os.environ["BCC_KERNEL_SOURCE"] = str(headers)
    common = headers.parent / (headers.name.rpartition("-")[0] + "-common")
    if not common.exists():
        return []
    places = ("", f"/arch/{arch}/include", f"/arch/{arch}/include/uapi", "/include", "/include/uapi")
    return [f"-I{common}{place}" for place in places]


def memory_is_v1() -> bool:
    """Whether the memory controller is on a cgroup v1 hierarchy (cgroups(7): /proc/cgroups, hierarchy 0 is v2)."""
    for line in Path("/proc/cgroups").read_text().splitlines():
        fields = line.split()
        if fields and fields[0] == "memory":
            return fields[1] != "0"
    return False


def compiled(options: dict[str, int | str]) -> tuple[object, int, str]:
    """`(BPF object, program fd, tracer)`."""
    try:
        from bcc import BPF  # noqa: PLC0415
    except ImportError as error:
        raise LoadError(
            "bcc_missing", f"{sys.executable} cannot import bcc ({error}); install python3-bpfcc"
        ) from error
    try:
        kernel = btf.Kernel()
        offsets = btf.definitions(kernel)
    except OSError as error:
        raise LoadError("btf_missing", f"/sys/kernel/btf/vmlinux: {error}; a kernel with BTF is needed") from error
    except LookupError as error:
        raise LoadError("btf_unknown", str(error)) from error
    perf = options.get("method") == "tracepoint"
    flags = [f"-D{name}={value}" for name, value in offsets.items()]
    flags += [f"-D{name.upper()}={entries}" for name, entries in asdict(layout.Capacity.of(options)).items()]
    flags.append(f"-DSEED={secrets.randbits(64)}ULL")
    flags += ["-DPERF_TRACEPOINT"] if perf else []
    flags += ["-DMEMORY_HIERARCHY"] if memory_is_v1() else []
    flags += [f"-I{layout.BPF_FOLDER}", "-Wno-macro-redefined", "-Wno-address-of-packed-member"]
    flags += header_flags(platform.release())
    program = BPF(src_file=str(layout.BPF_FOLDER / "tcp_connect.c"), cflags=flags)
    if perf:
        function = program.funcs[b"tracepoint__sock__inet_sock_set_state"]
        return program, function.fd, "bcc:tracepoint"
    tracepoint = kernel.tracepoint("inet_sock_set_state")
    return program, raw_tracepoint.load(program.dump_func("on_state"), tracepoint), "bcc:raw_tracepoint"


def attached(program: object, program_fd: int, tracer: str) -> int:
    """The descriptor that keeps the program attached."""
    if tracer == "bcc:tracepoint":
        return int(next(iter(program.tracepoint_fds.values())))  # type: ignore[attr-defined]
    try:
        return raw_tracepoint.attach(program_fd)
    except OSError as error:
        raise LoadError("attach_failed", f"raw tracepoint inet_sock_set_state: {error.strerror}") from error


def load(options: dict[str, int | str]) -> tuple[dict[str, object], list[int]]:
    """The answer and its descriptors: maps, `program`, `link` in the order of `names`."""
    begun = time.monotonic()
    program, program_fd, tracer = compiled(options)
    capacity = layout.Capacity.of(options)
    maps = {name: program[name].get_fd() for name in capacity.maps()}  # type: ignore[index]
    link = attached(program, program_fd, tracer)
    descriptors = {**maps, "program": program_fd, "link": link}
    answer = {
        "names": list(descriptors),
        "tracer": tracer,
        "capacity": asdict(capacity),
        "mapBytes": capacity.kernel_bytes(),
        "memoryHierarchy": memory_is_v1(),
        "attachedNs": time.monotonic_ns(),
        "seconds": round(time.monotonic() - begun, 3),
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    return answer, list(descriptors.values())


def capabilities() -> int:
    """The effective capabilities of this process, a bit mask."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def failure(error: Exception, said: str) -> dict[str, object]:
    """The answer for a failed load; BCC's own words are translated to what is missing."""
    if isinstance(error, LoadError):
        return {"error": str(error), "reason": error.reason}
    held = capabilities()
    missing = [name for name, bit in (("CAP_BPF", 39), ("CAP_PERFMON", 38)) if not (held >> bit & 1 or held >> 21 & 1)]
    if missing:
        return {"error": f"{' and '.join(missing)} missing: the loader holds {held:#x}", "reason": "capability_missing"}
    detail = " ".join(said.split())[-400:]
    return {"error": f"the program was not loaded: {error}; {detail}", "reason": "load_failed"}


def main() -> None:
    """Serve the one request on the socket given as the first argument."""
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        options = json.loads(channel.recv(65536))
        said = os.memfd_create("stderr")
        stderr = os.dup(2)
        os.dup2(said, 2)
        descriptors: list[int] = []
        try:
            answer, descriptors = load(options)
        except Exception as error:  # noqa: BLE001 - whatever it is, the agent must hear of it
            answer = failure(error, os.pread(said, 65536, 0).decode("utf-8", "replace"))
        os.dup2(stderr, 2)
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)
    os._exit(0)  # BCC's clean-up at exit takes a while, and the descriptors are the agent's now


if __name__ == "__main__":
    main()
