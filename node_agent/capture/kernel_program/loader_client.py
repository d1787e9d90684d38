"""Asks the supervisor for a loader and receives the attached program, which counts nothing before `count_during`."""

import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson

from node_agent.capture.kernel_program.bpf_maps import AttachedProgram
from node_agent.privileged.bpf_structs import Capacity
from podsonar.errors import TracerError

POLL_SECONDS = 0.1
LoaderAnswer = dict[str, Any]


def receive_answer(channel: socket.socket, timeout_seconds: float, stop: threading.Event) -> tuple[bytes, list[int]]:
    """Return the loader's message and descriptors; TimeoutError after the timeout or as soon as `stop` is set."""
    deadline = time.monotonic() + timeout_seconds
    channel.settimeout(POLL_SECONDS)
    while True:
        try:
            data, descriptors, _flags, _address = socket.recv_fds(channel, 65536, 32)
        except TimeoutError:
            if stop.is_set() or time.monotonic() > deadline:
                raise
        else:
            return data, descriptors


def attach(
    supervisor: socket.socket,
    options: Mapping[str, int | str],
    timeout_seconds: float,
    stop: threading.Event | None = None,
) -> tuple[AttachedProgram, LoaderAnswer]:
    """Return the attached program and the loader's answer; TracerError with the loader's reason otherwise."""
    stop = stop or threading.Event()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.send(orjson.dumps(options))
        try:
            socket.send_fds(supervisor, [b"load"], [theirs.fileno()])
            theirs.close()
            data, descriptors = receive_answer(ours, timeout_seconds, stop)
        except TimeoutError as error:
            if stop.is_set():
                raise TracerError("the agent stops", "stopped") from error
            raise TracerError(f"the loader did not answer within {timeout_seconds} s", "loader_timeout") from error
        except OSError as error:
            raise TracerError(f"the supervisor cannot be reached: {error}", "supervisor_gone") from error
    return program_from_answer(data, descriptors)


def program_from_answer(data: bytes, descriptors: list[int]) -> tuple[AttachedProgram, LoaderAnswer]:
    """Return the program in a loader's message; TracerError with the loader's reason if it has none."""
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
    by_name = dict(zip(names, descriptors, strict=True))
    return AttachedProgram(by_name, answer["tracer"], Capacity.of(answer["capacity"])), answer
