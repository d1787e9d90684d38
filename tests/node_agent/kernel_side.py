"""A supervisor of its own for a test that loads the real program: one loader a call, the tracer in this process."""

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
            yield tracer
    finally:
        ours.close()
        thread.join()
        theirs.close()
