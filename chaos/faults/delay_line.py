"""Delays packets of a pod: they are led through a TAP, whose reader writes each back when its time has come.

`delay_line.c` leads them there and back. Standard library only. With the process that holds it the TAP and the links
are gone; what it holds then is lost once, as any packet may be. At an ordered end everything held is written back.
"""

import errno
import fcntl
import heapq
import os
import platform
import random
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from chaos.faults.bpf_link import BEFORE_OTHERS, FROM_POD, FROM_TAP, TO_TAP, Attachment, RuleMap, attach
from chaos.faults.network_rule import HIT_AT, SEEN_AT, pack_rule
from chaos.faults.pod_link import find_pod_link

DEVICE = "/dev/net/tun"
SET_INTERFACE, TAP, NO_PACKET_INFO = 0x400454CA, 0x2, 0x1000  # TUNSETIFF, IFF_TAP, IFF_NO_PI
SET_FLAGS, UP = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
FRAME_BYTES = 1 << 16
MOST_BYTES = 64 << 20  # held at once; more is dropped, as by a queue that is full
ENTRY_BYTES = 256  # of memory beside a frame's own
FRAMES_AT_ONCE = 256  # read before the next are written
IDLE_SECONDS = 1.0
NEEDS = (6, 6)  # kernel, of TCX


class DelayQueue:
    """Frames, each until its time. No IO; times are monotonic seconds."""

    def __init__(self, seconds: float, jitter: float, chance: Callable[[], float] = random.random) -> None:
        self.seconds, self.jitter, self.chance = seconds, jitter, chance
        self.waiting: list[tuple[float, int, bytes]] = []
        self.held_bytes = self.taken = self.dropped = 0
        self.late_seconds = 0.0  # of all frames together

    def put(self, frame: bytes, now: float) -> None:
        """Take a frame; with jitter it may be overtaken by a later one, as on a network."""
        size = len(frame) + ENTRY_BYTES
        if self.held_bytes + size > MOST_BYTES:
            self.dropped += 1
            return
        self.taken += 1
        self.held_bytes += size
        due = now + self.seconds + self.jitter * (2 * self.chance() - 1)
        heapq.heappush(self.waiting, (due, self.taken, frame))

    def pop_due(self, now: float) -> bytes | None:
        """The next frame whose time has come."""
        if not self.waiting or self.waiting[0][0] > now:
            return None
        due, _number, frame = heapq.heappop(self.waiting)
        self.held_bytes -= len(frame) + ENTRY_BYTES
        self.late_seconds += now - due
        return frame

    def pop_any(self) -> bytes | None:
        """The next frame, before its time."""
        return self.pop_due(self.waiting[0][0]) if self.waiting else None

    def seconds_until_next(self, now: float) -> float:
        """How long nothing is due."""
        return max(0.0, self.waiting[0][0] - now) if self.waiting else IDLE_SECONDS


class DelayLine:
    """A TAP with the links that lead to it and back; the descriptors are the fault."""

    def __init__(self, order: Mapping[str, Any], deadline_ns: int) -> None:
        self.queue = DelayQueue(order["milliseconds"] / 1000, order["jitter"] / 1000)
        self.returned = 0
        self.links: list[int] = []
        veth = find_pod_link(order["address"])
        name = f"podsonar{veth}"  # of this veth alone: who comes second finds it busy
        self.tap = open_tap(name)
        try:
            tap = socket.if_nametoindex(name)
            places = struct.pack("=QII", Path(order["cgroup"]).stat().st_ino, tap, veth)
            self.lines = RuleMap(pack_rule(order["rule"] | {"egress": True}, deadline_ns) + places)
            with closing(self.lines):
                for where in (TO_TAP, FROM_TAP):
                    self.links.append(link(where, tap, self.lines, 0))
                set_up(name)  # not before: the kernel sends to whatever comes up
                self.links.append(link(FROM_POD, veth, self.lines, BEFORE_OTHERS))
        except BaseException:
            self.close()
            raise

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for beside the next frame's time."""
        return (self.tap,)

    def work(self) -> float:
        """Take what came, write what is due, and return for how many seconds nothing will be."""
        self.take()
        now = time.monotonic()
        while frame := self.queue.pop_due(now):
            self.write(frame)
        return self.queue.seconds_until_next(time.monotonic())

    def take(self) -> bool:
        """Read some frames; whether there may be more."""
        for _ in range(FRAMES_AT_ONCE):
            try:
                self.queue.put(os.read(self.tap, FRAME_BYTES), time.monotonic())
            except BlockingIOError:
                return False
        return True

    def write(self, frame: bytes) -> None:
        """Write a frame back."""
        try:
            os.write(self.tap, frame)
            self.returned += 1
        except OSError:  # the interface is down: somebody else's doing
            self.queue.dropped += 1

    def have_ended(self) -> bool:
        """False: only its deadline ends it."""
        return False

    def end(self) -> None:
        """Lead nothing more away, write back what is held, and close."""
        if self.links:
            os.close(self.links.pop())
            while self.take():
                pass
            while frame := self.queue.pop_any():
                self.write(frame)
        self.close()

    def close(self) -> None:
        """Close the links and the TAP, which is gone then."""
        while self.links:
            os.close(self.links.pop())
        if self.tap >= 0:
            os.close(self.tap)
            self.tap = -1

    def counters(self) -> dict[str, float]:
        """Packets that were meant, led away, written back, and dropped for want of room.

        `lateSeconds`: how much later than due all together were written back, for want of a processor.
        """
        seen, hit = self.lines.counter(SEEN_AT), self.lines.counter(HIT_AT)
        counters = {"seen": seen, "hit": hit, "returned": self.returned, "dropped": self.queue.dropped}
        return counters | {"lateSeconds": round(self.queue.late_seconds, 4)}


def open_tap(name: str) -> int:
    """A TAP that lives as long as its descriptor; OSError says what is missing."""
    try:
        tap = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"{DEVICE}: {error.strerror}, expected the kernel's module tun") from error
    try:
        fcntl.ioctl(tap, SET_INTERFACE, struct.pack("16sH22x", name.encode(), TAP | NO_PACKET_INFO))
    except OSError as error:
        os.close(tap)
        if error.errno in {errno.EBUSY, errno.EEXIST}:
            raise OSError(error.errno, f"interface {name} is there: another delay of this pod is in") from error
        raise OSError(error.errno, f"interface {name}: {error.strerror}") from error
    return tap


def set_up(name: str) -> None:
    """Set an interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sH22x", name.encode(), UP))


def link(where: Attachment, interface: int, lines: RuleMap, flags: int) -> int:
    """A link at an interface; OSError on a kernel that has none of that kind."""
    try:
        return attach(where, interface, lines, flags)
    except OSError as error:
        raise OSError(error.errno, reason_of(error, platform.release())) from error


def reason_of(error: OSError, release: str) -> str:
    """Why a link at an interface was refused, in words."""
    version = re.match(r"(\d+)\.(\d+)", release)
    too_old = version is not None and (int(version[1]), int(version[2])) < NEEDS
    if error.errno == errno.EINVAL and too_old:
        return f"kernel {release} has no links of programs to interfaces (TCX), expected at least 6.6"
    return error.strerror or str(error)


def rehearse(order: Mapping[str, Any]) -> None:
    """Make the line with a deadline that is over, and close it: OSError or ValueError if it could not be made."""
    DelayLine(order, 0).close()
