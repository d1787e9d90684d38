"""The process of a simulated service: answers each request after its own calls, and counts. Standard library only.

The first line is that of pod_program.py. Then one command per line: {"serve": [calls]}: the calls of each request;
{"begin": [{"perSecond", "calls"}]}: requests of its own from now on, however long they take; {"counters": true}.
A call is {"name", "address", "port", "required", "tries", "pooled", "asks", "fallback": call or null}. A request is one
line; the answer is `ok` or `no`, and the request's number. A request fails with the first required call that fails: the
calls behind it are skipped. A fallback is called only when its call has failed.
"""

import contextlib
import itertools
import json
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import pod_program  # type: ignore[import-not-found]  # beside this file, which runs without the package

CONNECT_SECONDS = 0.3  # one SYN: the second goes out after a second
ANSWER_SECONDS = 2.0
POOLED_SECONDS = 0.3
MOST_AT_ONCE = 100  # of its own requests: more are left out, and counted

Call = dict[str, Any]


class Counters:
    """Counts by name: of requests as `served` and `failed`, of calls as `<callee> <what>`."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Count."""
        with self.lock:
            self.counts[name] += count

    def read(self) -> dict[str, int]:
        """All counts now."""
        with self.lock:
            return dict(self.counts)


COUNTERS = Counters()


class Pool:
    """One connection to a callee that stays open; who waits in vain for an answer leaves it open."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.lock = threading.Lock()
        self.connection: socket.socket | None = None
        self.number = 0

    def ask(self) -> bool:
        """Whether the callee answered `ok` in time; a connection that has ended is made anew by the next request."""
        if not self.lock.acquire(timeout=POOLED_SECONDS):
            return False
        try:
            return self.ask_alone()
        finally:
            self.lock.release()

    def ask_alone(self) -> bool:
        """Ask; what fails but for a late answer ends the connection."""
        try:
            if self.connection is None:
                COUNTERS.add(f"{self.call['name']} connects")
                self.connection = socket.create_connection((self.call["address"], self.call["port"]), CONNECT_SECONDS)
            return self.answer_on(self.connection)
        except TimeoutError:
            return False
        except OSError:
            if self.connection is not None:
                self.connection.close()
                self.connection = None
            return False

    def answer_on(self, connection: socket.socket) -> bool:
        """Send one request and read its answer; answers to earlier requests that came late are read over."""
        self.number += 1
        connection.settimeout(POOLED_SECONDS)
        connection.sendall(b"%d\n" % self.number)
        answer = ""
        while f" {self.number}\n" not in answer:
            part = connection.recv(4096)
            if not part:
                raise ConnectionResetError
            answer += part.decode()
        return f"ok {self.number}\n" in answer


POOLS: dict[str, Pool] = {}


def ask_once(call: Call) -> bool:
    """Connect, ask, and close; whether the answer was `ok`. Without `asks` a connection is enough."""
    COUNTERS.add(f"{call['name']} connects")
    try:
        with socket.create_connection((call["address"], call["port"]), CONNECT_SECONDS) as connection:
            if not call["asks"]:
                return True
            connection.settimeout(ANSWER_SECONDS)
            connection.sendall(b"1\n")
            return connection.recv(64).startswith(b"ok")
    except OSError:
        return False


def make_call(call: Call) -> bool:
    """Whether a try of the call, or its fallback, succeeded."""
    COUNTERS.add(f"{call['name']} calls")
    for number in range(call["tries"]):
        if number:
            COUNTERS.add(f"{call['name']} retries")
        if POOLS.setdefault(call["name"], Pool(call)).ask() if call["pooled"] else ask_once(call):
            return True
    COUNTERS.add(f"{call['name']} failed")
    if call["fallback"]:
        COUNTERS.add(f"{call['fallback']['name']} fallbacks")
        return make_call(call["fallback"])
    return False


def handle(calls: list[Call]) -> bool:
    """Make the calls of a request in their order; whether it succeeded."""
    for number, call in enumerate(calls):
        if not make_call(call) and call["required"]:
            for skipped in calls[number + 1 :]:
                COUNTERS.add(f"{skipped['name']} skipped")
            COUNTERS.add("failed")
            return False
    COUNTERS.add("served")
    return True


def serve(port: int, calls: list[Call]) -> None:
    """Answer every request to the port for as long as the pod lives."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
            for line in lines:
                connection.sendall(b"%s %s\n" % (b"ok" if handle(calls) else b"no", line.strip()))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def begin(root: dict[str, Any]) -> None:
    """Make requests at an even rate for as long as the pod lives."""
    slots = threading.BoundedSemaphore(MOST_AT_ONCE)

    def request() -> None:
        with contextlib.suppress(OSError):
            handle(root["calls"])
        slots.release()

    def make_requests() -> None:
        due = time.monotonic()
        while True:
            due = max(due + 1 / root["perSecond"], time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            if slots.acquire(blocking=False):
                threading.Thread(target=request, daemon=True).start()
            else:
                COUNTERS.add("left out")

    threading.Thread(target=make_requests, daemon=True).start()


def run_command(command: dict[str, Any], calls: list[Call]) -> dict[str, Any]:
    """Run one command; `calls` are those of each request."""
    if "serve" in command:
        calls[:] = command["serve"]
    for root in command.get("begin", ()):
        begin(root)
    return COUNTERS.read() if "counters" in command else {}


def main() -> None:
    """Run the commands on stdin until it ends; Ctrl-C is left to the program that started the pods."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    start = json.loads(sys.stdin.readline())
    pod_program.enter(start)
    calls: list[Call] = []
    for port in start["listen"]:
        serve(port, calls)
    for line in itertools.chain(["{}"], sys.stdin):
        sys.stdout.write(json.dumps(run_command(json.loads(line), calls)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
