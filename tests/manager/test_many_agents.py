"""The agents of a large cluster push their window within a minute: all is stored, and nobody gets a 5xx."""

import asyncio
import os
import random
import re
import time
from collections import Counter

import pytest

from podsonar.json_gzip import pack
from tests.acceptance.test_manager_dies import stored_ids
from tests.faults.conftest import process
from tests.manager.conftest import postgresql_server
from tests.manager.manager_process import ManagerProcess
from tests.manager.shop import connection, observed

__all__ = ["postgresql_server", "process"]
AGENTS = int(os.environ.get("PODSONAR_TEST_AGENTS", "1000"))  # 5000 by hand
PER_SECOND = 5000 / 60
FLOWS = 53
RETRY_AFTER = re.compile(rb"retry-after: (\d+)")

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


class PushingAgents:
    """What the agents have been answered, and when each was done."""

    def __init__(self, manager: ManagerProcess) -> None:
        host, _, port = manager.url.removeprefix("http://").partition(":")
        self.host, self.port, self.token = host, int(port), manager.token
        self.answers: Counter[int] = Counter()
        self.seconds: list[float] = []

    async def exchange(self, number: int) -> tuple[int, float]:
        """The status of one push, and for how long to wait after it."""
        flows = [connection("a", "10.1.1.1", "10.96.0.1", port + 1, service="cart", n=2) for port in range(FLOWS)]
        body = pack(observed(f"node-{number}", flows, []))
        head = (
            f"POST /api/v1/collections HTTP/1.1\r\nHost: m\r\nAuthorization: Token {self.token}\r\n"
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
            f"Idempotency-Key: c-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        source = f"127.8.{number >> 8}.{number & 255}"
        reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
        try:
            writer.write(head.encode() + body)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
        again = RETRY_AFTER.search(answer.lower())
        return int(answer[9:12] or 0), float(again[1]) if again else 1.0

    async def push(self, number: int, after_seconds: float) -> None:
        """An agent: it waits for its turn in the minute, and pushes until its batch is stored."""
        await asyncio.sleep(after_seconds)
        began = time.monotonic()
        while True:
            try:
                status, wait_seconds = await self.exchange(number)
            except ConnectionError:
                status, wait_seconds = 0, 1.0
            self.answers[status] += 1
            if status == 201:
                self.seconds.append(time.monotonic() - began)
                return
            await asyncio.sleep(wait_seconds)

    async def run(self) -> None:
        """All of them, spread as agents spread themselves."""
        dice = random.Random(AGENTS)  # noqa: S311 - no secret
        spread = AGENTS / PER_SECOND
        await asyncio.gather(*(self.push(number, dice.uniform(0, spread)) for number in range(AGENTS)))


def test_window_of_thousands_of_agents_is_stored_without_a_5xx(process: ManagerProcess) -> None:
    """At the rate of 5,000 in a minute; who is told to come later comes, and nothing is stored twice."""
    pushing = PushingAgents(process)
    began = time.monotonic()
    asyncio.run(pushing.run())
    times = sorted(pushing.seconds)
    took, p99 = time.monotonic() - began, times[len(times) * 99 // 100]
    print(f"{AGENTS} agents in {took:.1f} s: {dict(pushing.answers)}, p99 {p99:.3f} s")  # noqa: T201
    assert [status for status in pushing.answers if status >= 500] == []
    assert stored_ids(process.database) == sorted(f"c-{number}" for number in range(AGENTS))
