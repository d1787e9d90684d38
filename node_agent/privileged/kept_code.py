"""Keeps compiled code from one loader to the next in a memfd, which the supervisor holds and the agent never has.

Who writes it decides what a process with CAP_BPF loads: it is in no file, and it goes with the supervisor.
What cannot be read, because a loader was killed as it wrote, is compiled again. Standard library only.
"""

import json
import os
import zlib

from node_agent.privileged.bpf_structs import Options
from node_agent.privileged.program_code import MapSize, Program, ProgramCode

CHECKSUM_BYTES = 4


def read(descriptor: int, options: Options) -> ProgramCode | None:
    """The code that was compiled with these options; None if there is none."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    checksum, text = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if not text or zlib.crc32(text).to_bytes(CHECKSUM_BYTES, "little") != checksum:
        return None
    kept = json.loads(text)
    if kept["options"] != options:
        return None
    return ProgramCode(
        {name: MapSize(*size) for name, size in kept["maps"].items()},
        {name: Program(bytes.fromhex(code), target) for name, (code, target) in kept["programs"].items()},
        kept["headers"],
    )


def write(descriptor: int, options: Options, code: ProgramCode) -> None:
    """Keep code in place of what was kept before."""
    programs = {name: (one.instructions.hex(), one.target) for name, one in code.programs.items()}
    kept = {"options": options, "maps": code.maps, "programs": programs, "headers": code.headers}
    text = json.dumps(kept).encode()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, zlib.crc32(text).to_bytes(CHECKSUM_BYTES, "little") + text, 0)
