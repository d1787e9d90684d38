"""Asks the supervisor for a loader and takes the attached program from it."""

import os
import socket
from collections.abc import Mapping

import orjson

from discovery.errors import TracerError
from node_agent.layout import Capacity
from node_agent.maps import Tracer


def attach(
    supervisor: socket.socket, options: Mapping[str, int | str], timeout_seconds: float
) -> tuple[Tracer, dict[str, object]]:
    """The attached program and what the loader said of itself; TracerError with the loader's reason otherwise."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(timeout_seconds)
        ours.send(orjson.dumps(options))
        try:
            socket.send_fds(supervisor, [b"load"], [theirs.fileno()])
            theirs.close()
            data, descriptors, _flags, _address = socket.recv_fds(ours, 65536, 32)
        except TimeoutError as error:
            raise TracerError(f"the loader did not answer within {timeout_seconds} s", "loader_timeout") from error
        except OSError as error:
            raise TracerError(f"the supervisor cannot be reached: {error}", "supervisor_gone") from error
    if not data:
        raise TracerError("the loader ended without an answer (killed? its peak is about 250 MiB)", "loader_died")
    answer = orjson.loads(data)
    if "error" in answer:
        raise TracerError(answer["error"], answer["reason"])
    names = answer["names"]
    if len(names) != len(descriptors):
        for descriptor in descriptors:
            os.close(descriptor)
        raise TracerError(f"{len(descriptors)} descriptors from the loader, expected {len(names)}", "loader_answer")
    held = dict(zip(names, descriptors, strict=True))
    return Tracer(held, answer["tracer"], answer["attachedNs"], Capacity.of(answer["capacity"])), answer
