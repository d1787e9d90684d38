"""A gate before a manager: bytes pass while it is open; closed, every connection ends, as if the manager were away."""

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Gate:
    """One port that leads to a manager's; `url` is its own. It may lead to another manager each time it is opened."""

    def __init__(self, url: str) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.target: tuple[str, int] | None = None
        self.lock, self.open_ends = threading.Lock(), set[socket.socket]()
        self.open(url)
        threading.Thread(target=self.accept, daemon=True).start()

    def open(self, url: str) -> None:
        """Lead there from now on."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.target = (parts.hostname, parts.port)

    def close(self) -> None:
        """End every connection, and take no other."""
        with self.lock:
            self.target = None
            for end in self.open_ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        """Connect who comes."""
        with suppress(OSError):
            while True:
                near, _address = self.listener.accept()
                self.join(near)

    def join(self, near: socket.socket) -> None:
        """Carry bytes both ways, if the gate is open."""
        with self.lock:
            try:
                far = socket.create_connection(self.target) if self.target else None
            except OSError:
                far = None
            if far is None:
                near.close()
                return
            self.open_ends |= {near, far}
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Bytes of one way until its end."""
        with suppress(OSError):
            while piece := source.recv(65536):
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self.lock:
            self.open_ends.discard(source)
        source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
