"""A server that takes connections and requests, and never answers."""

import socket


class Silent:
    """Listens on the loopback at `url`."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.taken: list[socket.socket] = []

    def heard(self, count: int) -> list[bytes]:
        """The first lines of the first `count` requests."""
        self.listener.settimeout(60)
        while len(self.taken) < count:
            self.taken.append(self.listener.accept()[0])
        return sorted(one.recv(65536, socket.MSG_PEEK).split(b"\r\n")[0] for one in self.taken)

    def close(self) -> None:
        """Let go of every connection."""
        for one in (self.listener, *self.taken):
            one.close()
