"""node_agent/privileged: iterators over open sockets load on this kernel, with the call that its verifier needs."""

import os
import struct

import pytest

from node_agent.privileged import btf
from node_agent.privileged.program_code import mark_kernel_function
from tests.node_agent.kernel_side import attached

CALL, EXIT = 0x85, 0x95
INSTRUCTION = struct.Struct("=BBhi")


def instruction(code: int, registers: int = 0, number: int = 0) -> bytes:
    """One instruction."""
    return INSTRUCTION.pack(code, registers, 0, number)


def test_call_of_a_kernel_function_is_marked() -> None:
    """That one alone: helpers of other numbers, calls that are marked, and constants stay."""
    other = [instruction(CALL, 0, 1), instruction(CALL, 0x20, 4711), instruction(0xB7, 1, 4711)]
    before = b"".join([*other, instruction(CALL, 0, 4711), instruction(EXIT)])
    assert mark_kernel_function(before, 4711) == b"".join([*other, instruction(CALL, 0x20, 4711), instruction(EXIT)])


@pytest.mark.kernel
def test_iterators_are_opened() -> None:
    """As many as were asked for, where the kernel has them; else the agent would look through /proc."""
    btf.Kernel().function("bpf_iter_task_file")
    with attached(socketIterators=2) as tracer:
        opened = [tracer.take_socket_iterator() for _ in range(3)]
    for descriptor in opened:
        if descriptor is not None:
            os.close(descriptor)
    assert [one is None for one in opened] == [False, False, True]
