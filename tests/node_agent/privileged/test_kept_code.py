"""node_agent/privileged: what was compiled once is loaded again without the compiler, and is the same program."""

import os
import socket
import struct

import pytest

from node_agent.capture.kernel_program.bpf_maps import Counts
from node_agent.privileged import bpf_structs, kept_code
from node_agent.privileged.program_code import MapSize, Program, ProgramCode, map_size, renumbered
from tests.node_agent import kernel_side
from tests.node_agent.kernel_side import attached, load_with

INSTRUCTION = struct.Struct("=BBhi")
OPTIONS: dict[str, int | str] = {"flows": 8, "method": "raw_tracepoint"}
CODE = ProgramCode({"flows": MapSize(2, 4, 128, 16, 1024)}, {"on_state": Program(bytes(range(16)), 4711)}, "host")


def instructions(*rows: tuple[int, int, int]) -> bytes:
    """Instructions of a code, registers and a number each."""
    return b"".join(INSTRUCTION.pack(code, registers, 0, number) for code, registers, number in rows)


def test_tables_alone_are_renumbered() -> None:
    """A table's two instructions get its new number; other wide numbers stay, and a half that looks like one."""
    half_like_a_table = (0x18, 0x11, 7)  # behind another wide number
    before = instructions((0x18, 0x11, 7), (0, 0, 0), (0x18, 0x01, 7), half_like_a_table, (0xB7, 0x11, 7), (0x95, 0, 0))
    after = instructions((0x18, 0x11, 40), (0, 0, 0), (0x18, 0x01, 7), half_like_a_table, (0xB7, 0x11, 7), (0x95, 0, 0))
    assert renumbered(before, {7: 40}) == after
    with pytest.raises(LookupError, match=r"instruction 0 uses table 7, expected one of \[8\]"):
        renumbered(before, {8: 40})


def test_code_is_read_as_it_was_written() -> None:
    """For the options with which it was compiled, and for no others; what is shorter takes the place of all of it."""
    with kernel_side.kept_code() as kept:
        assert kept_code.read(kept, OPTIONS) is None
        kept_code.write(kept, OPTIONS, CODE._replace(headers="image" * 100))
        kept_code.write(kept, OPTIONS, CODE)
        assert kept_code.read(kept, OPTIONS) == CODE
        assert kept_code.read(kept, {**OPTIONS, "flows": 16}) is None


@pytest.mark.parametrize("kept_bytes", [0, 3, 4, 5, 100])
def test_code_that_was_written_in_part_is_not_there(kept_bytes: int) -> None:
    """A loader was killed as it wrote."""
    with kernel_side.kept_code() as kept:
        kept_code.write(kept, OPTIONS, CODE)
        os.ftruncate(kept, kept_bytes)
        assert kept_code.read(kept, OPTIONS) is None


@pytest.mark.kernel
def test_second_load_compiles_nothing_and_makes_the_same_tables() -> None:
    """The same sizes of every table and the same iterators; other options compile again."""
    with kernel_side.kept_code() as kept:
        first, second = load_with(kept), load_with(kept)
        smaller, third = load_with(kept, ended=0), load_with(kept)
        tables = len(bpf_structs.Capacity.of(kernel_side.CAPACITY).maps())
        sizes = [[map_size(one) for one in descriptors[:tables]] for _answer, descriptors in (first, second)]
        for _answer, descriptors in (first, second, smaller, third):
            for descriptor in descriptors:
                os.close(descriptor)
    assert [one["compiled"] for one, _descriptors in (first, second, smaller, third)] == [True, False, True, True]
    assert sizes[0] == sizes[1]
    assert first[0]["names"] == second[0]["names"]
    assert second[0]["socketIteratorError"] is None


@pytest.mark.kernel
def test_kept_program_traces_what_the_compiled_one_traces() -> None:
    """Connects of each are counted, in tables of its own; the second one is loaded from what the first one left."""
    found = []
    for _round in range(2):
        with attached(recent=8192) as tracer, socket.create_server(("127.0.0.1", 0)) as listener:
            tracer.mark_scan_done()
            for _ in range(7):
                socket.create_connection(listener.getsockname()).close()
            counts = Counts()
            tracer.drain(counts)
            tracer.drain(counts)
            port = listener.getsockname()[1].to_bytes(2, "big")
            found.append(
                [held[:2] for key, held in counts.flows.items() if bpf_structs.ENDPOINTS.unpack(key)[3] == port]
            )
    assert found == [[[7, 7]]] * 2


@pytest.mark.kernel
def test_half_written_code_is_compiled_again() -> None:
    """The load works, and leaves whole code for the next one."""
    with kernel_side.kept_code() as kept:
        os.pwrite(kept, b"\0\1\2\3{", 0)
        for expected in (True, False):
            answer, descriptors = load_with(kept)
            for descriptor in descriptors:
                os.close(descriptor)
            assert answer["compiled"] is expected
