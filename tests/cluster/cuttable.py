"""A TCP proxy in front of an API server whose connections can be cut, refused and let through again."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Cuttable:
    """Forwards loopback connections to a port; knows nothing of TLS or HTTP."""

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.refusing = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.open: list[socket.socket] = []
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        self.thread.join(5)

    def accept(self) -> None:
        """Forward each connection until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:  # whoever cuts knows of what is let through
                if self.refusing:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self.open += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.forward, args=(one, other), daemon=True).start()

    def forward(self, one: socket.socket, other: socket.socket) -> None:
        """Bytes from one end to the other until either is closed."""
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                other.sendall(content)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection."""
        with self.lock:
            for end in self.open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self.open.clear()
