"""A supervisor of its own for a test that loads the real program: one loader a call, the tracer in this process."""

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson

from node_agent.capture.kernel_program import loader_client
from node_agent.capture.kernel_program.bpf_maps import AttachedProgram

CAPACITY = {
    "flows": 16384,
    "accepted": 16384,
    "pending": 32768,
    "cgroups": 2048,
    "recent": 16384,
    "ended": 4096,
    "socketIterators": 2,
    "taskIterators": 2,
}
CHECKOUT = Path(__file__).resolve().parents[2]
LOADER = Path("node_agent/privileged/loader.py")
KEPT = os.memfd_create("code")  # for all tests of this process: most programs that they trace with were kept


# A node without cgroup v1, for the loader's eyes: /proc/cgroups with every controller on hierarchy 0.
UNIFIED = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --bind "$0" /proc/cgroups; exec "$@"')


def start_loaders(ours: socket.socket, before: tuple[str, ...] = ()) -> None:
    """Start a loader for each descriptor that arrives, as the supervisor does; ends with the socket."""
    with nullcontext(KEPT) if not before else kept_code() as kept:  # elsewhere the same options mean another program
        while True:
            data, descriptors, _flags, _address = socket.recv_fds(ours, 64, 1)
            if not data:
                return
            words = ["/usr/bin/python3", "-I", "-B", str(CHECKOUT / LOADER), str(descriptors[0]), str(kept)]
            subprocess.run([*before, *words], pass_fds=(*descriptors, kept), check=True)
            os.close(descriptors[0])


@contextmanager
def kept_code() -> Iterator[int]:
    """A memfd in which loaders keep what they compiled."""
    descriptor = os.memfd_create("code")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def attached(**options: int | str) -> Iterator[AttachedProgram]:
    """The real program, attached until the end of the block; with `unified` as on a node without cgroup v1."""
    with tempfile.NamedTemporaryFile("w", suffix=".cgroups") as controllers:
        controllers.write("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t1\t1\n")
        controllers.flush()
        before = (*UNIFIED, controllers.name) if options.pop("unified", 0) else ()
        with attached_by(before, options) as tracer:
            yield tracer


@contextmanager
def attached_by(before: tuple[str, ...], options: dict[str, int | str]) -> Iterator[AttachedProgram]:
    """The real program, its loader started by the command `before`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=start_loaders, args=(theirs, before), daemon=True)
    thread.start()
    try:
        tracer, _answer = loader_client.attach(ours, {**CAPACITY, **options}, 60)
        with tracer:
            tracer.count_during(0, 2**62)
            yield tracer
    finally:
        ours.close()
        thread.join()
        theirs.close()


def load_under(prefix: list[str], checkout: Path = CHECKOUT, **options: int | str) -> dict[str, Any]:
    """The answer of a real loader that the command in front starts, which may see the checkout at another place.

    A program that it loads is let go at once.
    """
    with kept_code() as kept:
        answer, descriptors = load_with(kept, prefix, checkout, **options)
    for descriptor in descriptors:
        os.close(descriptor)
    return answer


def load_with(
    kept: int, prefix: Sequence[str] = (), checkout: Path = CHECKOUT, **options: int | str
) -> tuple[dict[str, Any], list[int]]:
    """The answer of a loader with such a memfd, and the descriptors of what it loaded, to be closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(orjson.dumps({**CAPACITY, **options}))
        given = (theirs.fileno(), kept)
        loader = ["/usr/bin/python3", "-I", "-B", str(checkout / LOADER), *map(str, given)]
        done = subprocess.run([*prefix, *loader], pass_fds=given, capture_output=True, text=True, check=False)
        theirs.close()
        data, descriptors, _flags, _address = socket.recv_fds(ours, 65536, 32)
    if not data:
        raise AssertionError(f"the loader ended with {done.returncode} and said {done.stderr}")
    return orjson.loads(data), descriptors
