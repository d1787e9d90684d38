"""Run count and run time of the loaded BPF programs, from the kernel's own statistics (bpf(2), proc(5))."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node_agent.privileged.raw_tracepoint import bpf

PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID = 11, 13
SWITCH = Path("/proc/sys/kernel/bpf_stats_enabled")


def fields(descriptor: int) -> dict[str, str]:
    """The lines of a descriptor's fdinfo."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def next_id(after: int) -> int | None:
    """The next program's id; None after the last."""
    import ctypes  # noqa: PLC0415

    room = ctypes.create_string_buffer(struct.pack("=IIII", after, 0, 0, 0), 16)
    try:
        bpf(PROG_GET_NEXT_ID, room)  # type: ignore[arg-type]
    except FileNotFoundError:
        return None
    return int(struct.unpack_from("=II", room)[1])


def programs() -> dict[int, tuple[int, int]]:
    """`(nanoseconds, runs)` of every loaded program, by its id."""
    found = {}
    number: int | None = 0
    while (number := next_id(number or 0)) is not None:
        try:
            descriptor = bpf(PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0))
        except FileNotFoundError:
            continue
        info = fields(descriptor)
        os.close(descriptor)
        found[number] = (int(info["run_time_ns"]), int(info["run_cnt"]))
    return found


def spent_between(
    before: dict[int, tuple[int, int]], after: dict[int, tuple[int, int]], others: set[int]
) -> tuple[int, int]:
    """Nanoseconds and runs between two readings, of programs that are not in `others`."""
    deltas = [
        (after[number][0] - before[number][0], after[number][1] - before[number][1])
        for number in after
        if number in before and number not in others
    ]
    return sum(ns for ns, _runs in deltas), sum(runs for _ns, runs in deltas)


@contextmanager
def statistics_enabled() -> Iterator[None]:
    """Enable the kernel's run time statistics in the block; restore the setting afterwards."""
    before_block = SWITCH.read_text()
    SWITCH.write_text("1")
    try:
        yield
    finally:
        SWITCH.write_text(before_block)
