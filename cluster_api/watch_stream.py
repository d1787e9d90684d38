"""One watch's bytes: lines until the server ends it, the path falls silent, or another thread cuts it."""

import contextlib
import socket
from collections.abc import Iterator

import urllib3

from podsonar.errors import ApiServerError

LONGEST_LINE_BYTES = 16 << 20  # etcd takes objects of 1.5 MiB
PROBES = {socket.TCP_KEEPIDLE: 3, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 2}  # seconds, seconds, probes


class WatchStream:
    """The answer to a watch. A path that is silent for 5 s is dead: directory.interval.REPORT_NS counts on it."""

    def __init__(self, response: urllib3.BaseHTTPResponse, path: str) -> None:
        self.response = response
        self.path = path
        sock = getattr(response.connection, "sock", None)
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in PROBES.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def lines(self) -> Iterator[bytes]:
        """The lines of the watch until the server ends it or it is cut; ApiServerError where it breaks."""
        parts: list[bytes] = []  # of a line whose end has not come: joined once, however small they are
        size = 0
        try:
            while chunk := self.response.read1():
                *whole, rest = chunk.split(b"\n")
                if whole:
                    yield b"".join((*parts, whole[0]))
                    yield from whole[1:]
                    parts, size = [], 0
                parts.append(rest)
                size += len(rest)
                if size > LONGEST_LINE_BYTES:
                    raise ApiServerError(f"watch {self.path}: a line has more than {LONGEST_LINE_BYTES} bytes")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: cut while it is read
            raise ApiServerError(f"watch {self.path} was cut: {error}") from error
        finally:
            self.response.close()

    def cut(self) -> None:
        """End the watch from another thread; nothing happens where it has ended."""
        with contextlib.suppress(OSError, ValueError):
            self.response.shutdown()
