"""Port scans, as connect modes of pod_program.py: with connects, and half-open as `nmap -sS` makes them.

Standard library only; runs in a simulated pod.
"""

import errno
import socket
import struct
import time
from collections import Counter
from typing import Any


def scan(command: dict[str, Any]) -> Counter[int]:
    """Send one SYN to each of `count` ports, at ever new addresses after 65,535 of them, `rate` per second."""
    first = int.from_bytes(socket.inet_aton(command["address"]), "big")
    started = time.monotonic()
    for number in range(command["count"]):
        beyond, port = divmod(number, 65535)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client_socket:
            client_socket.connect_ex((socket.inet_ntoa((first + beyond).to_bytes(4, "big")), port + 1))
        if number % 50 == 0:
            time.sleep(max(0.0, started + number / command["rate"] - time.monotonic()))
    return Counter({errno.EINPROGRESS: command["count"]})


def syn_segment(address: str, port: int, source: tuple[str, int]) -> bytes:
    """A TCP segment with SYN alone (RFC 9293 section 3.1), with its checksum over the pseudo-header."""
    ends = socket.inet_aton(source[0]) + socket.inet_aton(address)
    fields = struct.pack("!HHIIBBHHH", source[1], port, source[1], 0, 5 << 4, 2, 64240, 0, 0)
    total = sum(struct.unpack("!16H", ends + struct.pack("!HH", socket.IPPROTO_TCP, len(fields)) + fields))
    return fields[:16] + struct.pack("!H", 0xFFFF - total % 0xFFFF) + fields[18:]


def half_open(command: dict[str, Any]) -> Counter[int]:
    """Scan a listening port `count` times: the kernel here resets the answer to a SYN that none of its sockets sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((command["address"], command["port"]))
        own = route.getsockname()[0]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        for number in range(command["count"]):
            raw.sendto(syn_segment(command["address"], command["port"], (own, 10000 + number)), (command["address"], 0))
    return Counter({0: command["count"]})
