"""Opens BPF iterators over the sockets of all processes (bpf/open_sockets.c); standard library only.

bpf(2), include/uapi/linux/bpf.h: BPF_PROG_TYPE_TRACING with expected_attach_type BPF_TRACE_ITER (5.8). The iterator
does its work when it is read, once from beginning to end, for the holder of its descriptor.
"""

import os
import struct

from node_agent.privileged import raw_tracepoint

LINK_CREATE, ITER_CREATE = 28, 33
ATTACH_TRACE_ITER = 28
LINK = struct.Struct("=IIII48x")  # prog_fd target_fd attach_type flags, then fields of the type, all 0
ITERATOR = struct.Struct("=II")  # link_fd flags


def open_iterators(instructions: bytes, target_btf_id: int, count: int) -> list[int]:
    """Descriptors of `count` iterators, for one read each; OSError if the kernel refuses."""
    program = raw_tracepoint.load(instructions, target_btf_id, ATTACH_TRACE_ITER)
    opened: list[int] = []
    try:
        link = raw_tracepoint.bpf(LINK_CREATE, LINK.pack(program, 0, ATTACH_TRACE_ITER, 0))
        try:
            opened.extend(raw_tracepoint.bpf(ITER_CREATE, ITERATOR.pack(link, 0)) for _ in range(count))
        finally:
            os.close(link)
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    finally:
        os.close(program)
    return opened
