"""Loads compiled code as a raw tracepoint program with BTF types, which BCC cannot; standard library only.

bpf(2), include/uapi/linux/bpf.h: BPF_PROG_TYPE_TRACING with expected_attach_type BPF_TRACE_RAW_TP (5.5). The verifier
then knows the tracepoint's arguments by type, and the program loads their fields without a helper call.
"""

import ctypes
import os
import platform
import struct

BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, RAW_TRACEPOINT_OPEN = 5, 17
TYPE_TRACING, ATTACH_TRACE_RAW_TP = 26, 23
# prog_type insn_cnt insns license log_level log_size log_buf kern_version prog_flags prog_name prog_ifindex
# expected_attach_type prog_btf_fd func_info_rec_size func_info func_info_cnt line_info_rec_size line_info line_info_cnt
# attach_btf_id
LOAD = struct.Struct("=IIQQIIQII16sIIIIQIIQII")
OPEN = struct.Struct("=QI4x")
LOG_BYTES = 1 << 16

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    """Return the descriptor that one system call gives; OSError otherwise."""
    if platform.machine() not in BPF_SYSCALL:
        raise OSError(0, f"machine {platform.machine()}, expected one of {', '.join(BPF_SYSCALL)}")
    descriptor = libc.syscall(BPF_SYSCALL[platform.machine()], command, attributes, len(attributes))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(descriptor)


def load(instructions: bytes, btf_id: int, attach_type: int = ATTACH_TRACE_RAW_TP) -> int:
    """Load a program and return its descriptor; OSError with the end of the verifier's log."""
    code, licence = ctypes.create_string_buffer(instructions, len(instructions)), ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(LOG_BYTES)

    def attributes(level: int) -> bytes:
        log_at, log_bytes = (ctypes.addressof(log), LOG_BYTES) if level else (0, 0)
        head = (TYPE_TRACING, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence))
        rest = (level, log_bytes, log_at, 0, 0, b"podsonar", 0, attach_type, 0, 0, 0, 0, 0, 0, 0)
        return LOAD.pack(*head, *rest, btf_id)

    try:
        return bpf(PROG_LOAD, attributes(0))
    except OSError as error:
        try:
            return bpf(PROG_LOAD, attributes(1))
        except OSError:
            log_text = " ".join(log.value.decode("utf-8", "replace").split())[-400:]
            raise OSError(error.errno, f"{error.strerror} {log_text}".strip()) from error


def attach(program: int) -> int:
    """Attach a loaded program; return the descriptor of the link."""
    return bpf(RAW_TRACEPOINT_OPEN, OPEN.pack(0, program))
