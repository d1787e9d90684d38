"""A proxy on the loopback that forwards bytes, and for a while answers itself with what no client should obey."""

import contextlib
import itertools
import socket
import threading

ANSWERS = (
    b"HTTP/1.1 302 Found\r\nLocation: host:8443/x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/steal\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    b"HTTP/1.1 503 Busy\r\nSet-Cookie: \xe4=\xf6; Domain=.\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n",
    b"\x00\xff\xfe not HTTP at all\r\n\r\n",
    b"",
)


class RedirectingProxy:
    """Listens at `url`; `odd` is whether it answers by itself."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.odd = target, False
        self.answers = itertools.cycle(ANSWERS)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        """A thread per connection, until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        """Forward, or answer."""
        with client, contextlib.suppress(OSError):
            if self.odd:
                client.recv(65536)
                client.sendall(next(self.answers))
                client.shutdown(socket.SHUT_WR)
                return
            with socket.create_connection(self.target, 10) as server:
                server.settimeout(None)
                back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
                back.start()
                self.copy(client, server)
                back.join(60)

    def copy(self, source: socket.socket, sink: socket.socket) -> None:
        """Bytes one way; a connection from a time before ends when the proxy turns odd."""
        with contextlib.suppress(OSError):
            while (piece := source.recv(65536)) and not self.odd:
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Listen no more."""
        self.listener.close()
