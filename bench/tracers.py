"""The tracers that are compared, each attached for the duration of a block."""

import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.report import REPOSITORY
from node_agent.privileged import btf, raw_tracepoint
from tests.acceptance.agent_process import agent
from tests.node_agent import kernel_side

Attach = Callable[[], AbstractContextManager[None]]

PRIVATE = ["unshare", "-m", "sh", str(REPOSITORY / "bench" / "private_mounts.sh")]
PATIENCE_SECONDS = 60.0
# BPF_ALU64 | BPF_MOV | BPF_K of r0, 0; BPF_JMP | BPF_EXIT
EMPTY = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)


@contextmanager
def untraced() -> Iterator[None]:
    """Nothing is attached."""
    yield


def attach_loaded(program: int) -> Attach:
    """A function that attaches the loaded program for the duration of a block."""

    @contextmanager
    def attached() -> Iterator[None]:
        link = raw_tracepoint.attach(program)
        try:
            yield
        finally:
            os.close(link)

    return attached


@contextmanager
def loaded_empty_program() -> Iterator[Attach]:
    """Load a program that does nothing: the cost of a run itself, and of measuring its time."""
    program = raw_tracepoint.load(EMPTY, btf.Kernel().tracepoint("inet_sock_set_state"))
    try:
        yield attach_loaded(program)
    finally:
        os.close(program)


@contextmanager
def loaded_agent_program() -> Iterator[Attach]:
    """Load the agent's program, in the state after the scan of open connections."""
    with kernel_side.attached() as tracer:
        tracer.mark_scan_done()
        os.close(tracer.descriptors.pop("link"))
        yield attach_loaded(tracer.descriptors["program"])


@contextmanager
def empty_program() -> Iterator[None]:
    """Load and attach the program that does nothing."""
    with loaded_empty_program() as attached, attached():
        yield


def whole_agent(method: str) -> Attach:
    """The whole agent in a window, as it runs on a node; a perf tracepoint needs tracefs, a raw one nothing."""
    prefix = PRIVATE if method == "tracepoint" else None

    @contextmanager
    def attached() -> Iterator[None]:
        with (
            tempfile.TemporaryDirectory() as folder,
            agent(Path(folder), prefix, node={"method": method, "drainSeconds": 5}) as running,
        ):
            running.wait_for_log("event=tracing")
            yield
            running.stop()

    return attached


def start_attached(command: list[str], output: Path) -> "subprocess.Popen[bytes]":
    """Start a program and return once it has printed its first line, which it does when attached."""
    with output.open("wb") as out:
        process = subprocess.Popen([*PRIVATE, *command], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not output.stat().st_size:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"{' '.join(command)} did not attach (ended with {process.wait()})")
        time.sleep(0.05)
    return process


def bcc_program(*words: str) -> Attach:
    """A BCC program in Python that writes what it sees into a file."""

    @contextmanager
    def attached() -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            process = start_attached(["/usr/bin/python3", "-u", *words], Path(folder) / "out")
            try:
                yield
            finally:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()

    return attached


TRACERS: dict[str, Attach] = {
    "podsonar (raw_tracepoint)": whole_agent("raw_tracepoint"),
    "podsonar (tracepoint)": whole_agent("tracepoint"),
    "tcplife-bpfcc": bcc_program("/usr/sbin/tcplife-bpfcc"),
    "tcpstates-bpfcc": bcc_program("/usr/sbin/tcpstates-bpfcc"),
    "ring-buffer event per connect": bcc_program(str(REPOSITORY / "bench" / "ringbuf_baseline.py")),
    "empty program": empty_program,
}
OURS, OURS_PRELOADED = "podsonar (raw_tracepoint)", "podsonar's program, switched"
PRELOADED: dict[str, Callable[[], AbstractContextManager[Attach]]] = {
    OURS_PRELOADED: loaded_agent_program,
    "empty program, switched": loaded_empty_program,
}
