"""Every way to see connects that is measured, each attached while its block lasts."""

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


def switch(program: int) -> Attach:
    """Attaches a loaded program for a block, in no time."""

    @contextmanager
    def attached() -> Iterator[None]:
        link = raw_tracepoint.attach(program)
        try:
            yield
        finally:
            os.close(link)

    return attached


@contextmanager
def switched_empty() -> Iterator[Attach]:
    """A program that does nothing: what a run costs by itself, and what taking its time adds."""
    program = raw_tracepoint.load(EMPTY, btf.Kernel().tracepoint("inet_sock_set_state"))
    try:
        yield switch(program)
    finally:
        os.close(program)


@contextmanager
def switched() -> Iterator[Attach]:
    """The agent's program, loaded as by an agent that has looked at what was open."""
    with kernel_side.attached() as tracer:
        tracer.set_looked()
        os.close(tracer.descriptors.pop("link"))
        yield switch(tracer.descriptors["program"])


@contextmanager
def empty() -> Iterator[None]:
    """The program that does nothing."""
    with switched_empty() as attached, attached():
        yield


def podsonar(method: str) -> Attach:
    """The whole agent in a window, as it runs on a node; a perf tracepoint wants tracefs, a raw one nothing."""
    prefix = PRIVATE if method == "tracepoint" else None

    @contextmanager
    def attached() -> Iterator[None]:
        with (
            tempfile.TemporaryDirectory() as folder,
            agent(Path(folder), prefix, node={"method": method, "drainSeconds": 5}) as running,
        ):
            running.until_said("event=tracing")
            yield
            running.stop()

    return attached


def started(command: list[str], output: Path) -> "subprocess.Popen[bytes]":
    """A program that has said its first line, which it does once it is attached."""
    with output.open("wb") as out:
        process = subprocess.Popen([*PRIVATE, *command], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not output.stat().st_size:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"{' '.join(command)} did not attach (ended with {process.wait()})")
        time.sleep(0.05)
    return process


def program(*words: str) -> Attach:
    """A Python program of BCC, writing what it sees into a file."""

    @contextmanager
    def attached() -> Iterator[None]:
        with tempfile.TemporaryDirectory() as folder:
            process = started(["/usr/bin/python3", "-u", *words], Path(folder) / "out")
            try:
                yield
            finally:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()

    return attached


TRACERS: dict[str, Attach] = {
    "podsonar (raw_tracepoint)": podsonar("raw_tracepoint"),
    "podsonar (tracepoint)": podsonar("tracepoint"),
    "tcplife-bpfcc": program("/usr/sbin/tcplife-bpfcc"),
    "tcpstates-bpfcc": program("/usr/sbin/tcpstates-bpfcc"),
    "ring-buffer event a connect": program(str(REPOSITORY / "bench" / "ringbuf_baseline.py")),
    "empty program": empty,
}
OURS, OURS_SWITCHED = "podsonar (raw_tracepoint)", "podsonar's program, switched"
SWITCHED: dict[str, Callable[[], AbstractContextManager[Attach]]] = {
    OURS_SWITCHED: switched,
    "empty program, switched": switched_empty,
}
