#!/usr/bin/python3
"""Compiles chaos/faults/network_fault.c and writes its instructions to chaos/faults/network_fault.json.

Run by the system's Python, which has BCC; nodes and hosts load the instructions and need no compiler.
"""

import hashlib
import json
import os
import platform
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from node_agent.privileged import kernel_headers  # noqa: E402

SOURCE = REPOSITORY / "chaos/faults/network_fault.c"
MAP_LOAD, PSEUDO_MAP_FD = 0x18, 1  # BPF_LD | BPF_IMM | BPF_DW with a map's descriptor, uapi/linux/bpf.h


def portable(code: bytes) -> str:
    """The instructions in hexadecimal, with 0 in place of the only map's descriptor."""
    pieces = bytearray(code)
    for at in range(0, len(code), 8):
        if code[at] == MAP_LOAD and code[at + 1] >> 4 == PSEUDO_MAP_FD:
            pieces[at + 4 : at + 8] = bytes(4)
    return pieces.hex()


def main() -> None:
    """Write the file."""
    from bcc import BPF  # noqa: PLC0415 - the system's Python alone has it

    found = kernel_headers.find(platform.release(), platform.machine(), os.environ)
    if found.folder:
        os.environ["BCC_KERNEL_SOURCE"] = found.folder
    program = BPF(text=SOURCE.read_text(), cflags=["-Wno-macro-redefined", "-w", *found.flags])
    names = ("packet", "connect4", "connect6")
    written = {
        "source_sha256": hashlib.sha256(SOURCE.read_bytes()).hexdigest(),
        "programs": {name: portable(program.dump_func(name)) for name in names},
    }
    SOURCE.with_suffix(".json").write_text(json.dumps(written, indent=1) + "\n")
    print({name: len(code) // 16 for name, code in written["programs"].items()}, "instructions")


if __name__ == "__main__":
    main()
