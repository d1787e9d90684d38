"""Compiled code that can be loaded again without the compiler: every program's instructions, and its tables' sizes.

Instructions name a table by its number in `maps` where the kernel expects a descriptor. bpf(2),
include/uapi/linux/bpf.h. Standard library only: the loader uses it.
"""

import ctypes
import struct
from collections.abc import Mapping
from typing import NamedTuple

from node_agent.privileged.raw_tracepoint import bpf

MAP_CREATE, OBJ_GET_INFO_BY_FD = 0, 15
# map_type key_size value_size max_entries map_flags inner_map_fd numa_node map_name
CREATE = struct.Struct("=7I16s")
INFO = struct.Struct("=6I")  # type id key_size value_size max_entries map_flags
INFO_REQUEST = struct.Struct("=IIQ")  # bpf_fd info_len info
INSTRUCTION = struct.Struct("=BBhi")  # code, registers (source above destination), offset, number
LOAD_WIDE, PSEUDO_MAP_FD = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW: a number of 64 bits in two instructions
CALL, PSEUDO_KFUNC_CALL = 0x85, 2
NAME_BYTES = 15

TRACED = "on_state"  # the function behind the raw tracepoint
ITERATORS = {"each_file": "bpf_iter_task_file", "each_task": "bpf_iter_task"}  # by function, what it is attached to


class MapSize(NamedTuple):
    """What the kernel is told of a table; `flags` are those of BPF_MAP_CREATE."""

    type: int
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int


class Program(NamedTuple):
    """Instructions, and the type id of what the program is attached to."""

    instructions: bytes
    target: int


class ProgramCode(NamedTuple):
    """Tables by name, in the order of their numbers; programs by function; `headers` says whose were used."""

    maps: dict[str, MapSize]
    programs: dict[str, Program]
    headers: str


def map_size(descriptor: int) -> MapSize:
    """The size of a table that is there."""
    buffer = ctypes.create_string_buffer(INFO.size)
    bpf(OBJ_GET_INFO_BY_FD, INFO_REQUEST.pack(descriptor, INFO.size, ctypes.addressof(buffer)))
    kind, _id, key, value, entries, flags = INFO.unpack(buffer.raw)
    return MapSize(kind, key, value, entries, flags)


def create_maps(sizes: Mapping[str, MapSize]) -> dict[str, int]:
    """Descriptors of new tables by name; OSError if the kernel refuses one."""
    return {name: bpf(MAP_CREATE, CREATE.pack(*size, 0, 0, name.encode()[:NAME_BYTES])) for name, size in sizes.items()}


def renumbered(instructions: bytes, numbers: Mapping[int, int]) -> bytes:
    """The same instructions with other numbers for the tables; LookupError for a table that has none."""
    found = bytearray(instructions)
    at = 0
    while at < len(found):
        code, registers, offset, number = INSTRUCTION.unpack_from(found, at)
        if code == LOAD_WIDE and registers >> 4 == PSEUDO_MAP_FD:
            if number not in numbers:
                raise LookupError(
                    f"instruction {at // INSTRUCTION.size} uses table {number}, expected one of {[*numbers]}"
                )
            INSTRUCTION.pack_into(found, at, code, registers, offset, numbers[number])
        at += 2 * INSTRUCTION.size if code == LOAD_WIDE else INSTRUCTION.size
    return bytes(found)


def mark_kernel_function(instructions: bytes, btf_id: int) -> bytes:
    """Make calls of the helper with this number calls of the kernel's function with this type id.

    The compiler knows helpers alone: BPF_PSEUDO_KFUNC_CALL (5.13) is the source register of a call.
    """
    helper, function = INSTRUCTION.pack(CALL, 0, 0, btf_id), INSTRUCTION.pack(CALL, PSEUDO_KFUNC_CALL << 4, 0, btf_id)
    code = [instructions[at : at + INSTRUCTION.size] for at in range(0, len(instructions), INSTRUCTION.size)]
    return b"".join(function if one == helper else one for one in code)
