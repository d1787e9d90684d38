"""A server that accepts connections and requests, and never answers."""

import socket


class SilentServer:
    """Listens on the loopback at `url`."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections: list[socket.socket] = []

    def request_lines(self, count: int) -> list[bytes]:
        """The request lines of the first `count` requests, sorted."""
        self.listener.settimeout(60)
        while len(self.connections) < count:
            self.connections.append(self.listener.accept()[0])
        return sorted(connection.recv(65536, socket.MSG_PEEK).split(b"\r\n")[0] for connection in self.connections)

    def close(self) -> None:
        """Close every connection."""
        for connection in (self.listener, *self.connections):
            connection.close()
