"""A supervisor of its own for a test that loads the real program: one loader a call, the tracer in this process."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from node_agent import tracing
from node_agent.maps import Tracer

CAPACITY = {"flows": 16384, "accepted": 16384, "pending": 16384, "cgroups": 2048, "recent": 16384}
LOADER = Path(tracing.__file__).parent / "loader.py"


def start_loaders(ours: socket.socket) -> None:
    """Start a loader for each descriptor that arrives, as the supervisor does; ends with the socket."""
    while True:
        data, descriptors, _flags, _address = socket.recv_fds(ours, 64, 1)
        if not data:
            return
        subprocess.run(
            ["/usr/bin/python3", "-I", "-B", str(LOADER), str(descriptors[0])], pass_fds=descriptors, check=True
        )
        os.close(descriptors[0])


@contextmanager
def attached(**options: int | str) -> Iterator[Tracer]:
    """The real program, attached until the end of the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=start_loaders, args=(theirs,), daemon=True)
    thread.start()
    try:
        tracer, _answer = tracing.attach(ours, {**CAPACITY, **options}, 60)
        with tracer:
            tracer.count_during(0, 2**62)
            yield tracer
    finally:
        ours.close()
        thread.join()
        theirs.close()


def load_under(prefix: list[str], **options: int | str) -> dict[str, Any]:
    """What a real loader, started by the command in front, says; a program that it loads is let go at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(orjson.dumps({**CAPACITY, **options}))
        loader = ["/usr/bin/python3", "-I", "-B", str(LOADER), str(theirs.fileno())]
        done = subprocess.run(
            [*prefix, *loader], pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False
        )
        theirs.close()
        data, descriptors, _flags, _address = socket.recv_fds(ours, 65536, 32)
    for descriptor in descriptors:
        os.close(descriptor)
    if not data:
        raise AssertionError(f"the loader ended with {done.returncode} and said {done.stderr}")
    answer: dict[str, Any] = orjson.loads(data)
    return answer
