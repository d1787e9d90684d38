"""The injector's only request: it says to its runner where it is, and is answered what to do."""

import http.client
import socket
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson

from chaos.faults.fault import InjectionError

PREFIX = "/v1/injectors/"
SECONDS = 2.0  # per request; five without an answer end the fault
MOST_ANSWER_BYTES = 4096

Command = Literal["wait", "inject", "release"]
COMMANDS: tuple[Command, ...] = ("wait", "inject", "release")


class RunnerClient:
    """One injector at its runner. `url` is the runner's, inside the cluster and in plain HTTP; the token is secret."""

    def __init__(self, url: str, injector: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise InjectionError("the runner's URL is not http://host:port")
        self.host, self.port = parts.hostname, parts.port or 80
        self.path, self.token = f"{PREFIX}{injector}", token
        self.address = ""  # once it is known: a fault may be one of the cluster's DNS

    def say(self, state: str, **more: Any) -> Command | None:  # noqa: ANN401 - JSON
        """What the runner answers to a state; None if it does not answer, or with anything else."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Host": f"{self.host}:{self.port}",
        }
        connection = None
        try:
            connection = http.client.HTTPConnection(self.resolve(), self.port, timeout=SECONDS)
            connection.request("POST", self.path, orjson.dumps({"state": state} | more), headers)
            answer = connection.getresponse()
            body = answer.read(MOST_ANSWER_BYTES)
            found = orjson.loads(body).get("command") if answer.status == 200 else None
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError, AttributeError):
            return None
        finally:
            if connection is not None:
                connection.close()
        return next((one for one in COMMANDS if one == found), None)

    def resolve(self) -> str:
        """The runner's address, looked up once; OSError without one."""
        if not self.address:
            self.address = str(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][4][0])
        return self.address
