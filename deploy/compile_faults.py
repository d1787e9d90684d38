#!/usr/bin/python3
"""Compiles the programs of network faults and writes their instructions to chaos/faults/network_fault.json.

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

FOLDER = REPOSITORY / "chaos/faults"
HEADER = "network_rule.h"
PROGRAMS = {"network_fault.c": ("packet", "connect4", "connect6"), "delay_line.c": ("from_pod", "to_tap", "from_tap")}
WRITTEN = FOLDER / "network_fault.json"
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
    header, digest = (FOLDER / HEADER).read_text(), hashlib.sha256((FOLDER / HEADER).read_bytes())
    made = {}
    for source, names in PROGRAMS.items():
        text = (FOLDER / source).read_text()
        digest.update(text.encode())
        whole = text.replace(f'#include "{HEADER}"', header)
        program = BPF(text=whole, cflags=["-Wno-macro-redefined", "-w", *found.flags])
        made |= {name: portable(program.dump_func(name)) for name in names}
    written = {"source_sha256": digest.hexdigest(), "programs": made}
    WRITTEN.write_text(json.dumps(written, indent=1) + "\n")
    print({name: len(code) // 16 for name, code in made.items()}, "instructions")


if __name__ == "__main__":
    main()
