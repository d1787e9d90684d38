"""What connections carry, by the real program and iterator: to the byte against what the programs wrote and read."""

import os
import random
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial

import pytest

from tests.node_agent.capture.volume_windows import (
    Churn,
    Pair,
    Windows,
    carried,
    listener,
    of_port,
    pair,
    wait_until_acknowledged,
)
from tests.node_agent.kernel_side import attached

pytestmark = pytest.mark.kernel
SCHEDULES = int(os.environ.get("PODSONAR_VOLUME_SCHEDULES", "50"))


@pytest.mark.parametrize("method", ["raw_tracepoint", "tracepoint"])
def test_bytes_of_one_connection_are_those_written_and_read(method: str, tracefs: None) -> None:
    """However it ends, or not at all: its bytes at both ends, its time, one round-trip time, and whether by a reset."""
    ends = ("client", "server", "reset", "open")
    with ExitStack() as stack:
        servers = {how: stack.enter_context(listener()) for how in ends}
        ports = {how: server.getsockname()[1] for how, server in servers.items()}
        tracer = stack.enter_context(attached(method=method))

        def work() -> None:
            for how, server in servers.items():
                one = pair(server)
                one.send("server", 100_003)
                one.send("client", 777)
                if how == "open":
                    stack.callback(one.close, "client")
                else:
                    one.close(how)
                wait_until_acknowledged([one])

        capture = Windows().observe(tracer, work, None)
    assert capture.volume_by == "whole"
    for how, port in ports.items():
        volumes = of_port(capture, port)
        assert (how, carried(volumes, "client"), carried(volumes, "server")) == (how, (100_003, 777), (777, 100_003))
        for volume in volumes.values():
            assert sum(volume.rtt_histogram) == 1
            assert 0 < volume.open_ns < 60 * 10**9
            assert (how, volume.resets) == (how, how == "reset")
            assert volume.retransmitted_segments == 0


def test_without_volumes_nothing_is_counted_and_the_program_is_smaller() -> None:
    """`ended: 0` compiles the program without volumes: no tables, no figures."""
    with listener() as server, attached() as with_volumes:
        whole = with_volumes.capacity.kernel_bytes()
        with attached(ended=0) as tracer:
            assert tracer.capacity.kernel_bytes() < whole
            assert not {"flow_volumes", "accepted_volumes", "ended"} & set(tracer.descriptors)
            capture = Windows().observe(tracer, lambda: pair(server).close("client"), None)
    assert capture.volume_by is None
    assert {flow.volume for flow in capture.flows} == {None}


def test_windows_that_meet_add_up_for_pooled_and_short_connections() -> None:
    """50 random schedules over three windows: each window's bytes are what was written and read in it, at both ends."""
    chance = random.Random(16)  # noqa: S311 - the same schedules in every run
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        pools = [pair(server) for _ in range(SCHEDULES)]
        for one in pools:
            stack.callback(one.close, "client")
        for one in pools:
            one.send("server", chance.randrange(5000))
        tracers = [stack.enter_context(attached()) for _ in range(3)]
        for tracer in tracers:
            tracer.count_during(0, 0)  # attached ahead of its window
        windows = Windows()
        for tracer, following in zip(tracers, [*tracers[1:], None], strict=True):
            before = sum((one.sent for one in pools), Counter())
            short: Counter[str] = Counter()

            def work(short: Counter[str] = short) -> None:
                for number in range(SCHEDULES):
                    for _ in range(chance.randrange(6)):
                        pools[chance.randrange(len(pools))].send(chance.choice(("client", "server")), size(chance))
                    one = pair(server)
                    one.send("server", size(chance))
                    one.send("client", size(chance))
                    short.update(one.sent)
                    one.close(("client", "server", "reset")[number % 3])
                wait_until_acknowledged(pools)

            capture = windows.observe(tracer, work, following)
            moved = sum((one.sent for one in pools), Counter()) - before + short
            volumes = of_port(capture, port)
            assert carried(volumes, "client") == (moved["server"], moved["client"])
            assert carried(volumes, "server") == (moved["client"], moved["server"])
            assert volumes["client", True].open_ns > 0


def test_connections_that_end_while_the_agent_reads_what_is_open_are_measured_once() -> None:
    """Some end before the agent looks what is open at the window's end, some while it reads, some later."""
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        tracer = stack.enter_context(attached())
        tracer.count_during(0, 0)
        pairs: list[Pair] = []

        def work() -> None:
            for number in range(300):
                one = pair(server)
                stack.callback(one.close, "client")
                one.send("server", 1000 + number)
                one.send("client", 1)
                pairs.append(one)
            wait_until_acknowledged(pairs)

        def end(some: slice) -> None:
            for number, one in enumerate(pairs[some]):
                one.close(("client", "server", "reset")[number % 3])

        capture = Windows().observe(tracer, work, None, lambda: end(slice(0, 100)), lambda: end(slice(100, 200)))
    moved = sum((one.sent for one in pairs), Counter())
    volumes = of_port(capture, port)
    assert carried(volumes, "client") == (moved["server"], moved["client"])
    assert carried(volumes, "server") == (moved["client"], moved["server"])
    assert [sum(volumes[end, False].rtt_histogram) for end in ("client", "server")] == [len(pairs)] * 2


def test_connections_that_live_across_windows_add_up() -> None:
    """Connections are made and end at every moment of four windows that meet; a byte that is missing has a reason."""
    with listener() as server, ExitStack() as stack:
        port = server.getsockname()[1]
        tracers = [stack.enter_context(attached()) for _ in range(4)]
        for tracer in tracers:
            tracer.count_during(0, 0)
        churn, windows = Churn(server, 16), Windows()
        sent, received, lost = 0, 0, 0

        def work(number: int) -> None:
            if number == 0:
                churn.thread.start()
            time.sleep(0.4)
            if number == len(tracers) - 1:
                churn.stop.set()
                churn.thread.join()

        for number, (tracer, following) in enumerate(zip(tracers, [*tracers[1:], None], strict=True)):
            capture = windows.observe(tracer, partial(work, number), following)
            volumes = of_port(capture, port)
            sent += carried(volumes, "client")[0]
            received += carried(volumes, "server")[1]
            lost += sum(capture.volume_lost.values())
    assert churn.made > 100
    assert 1000 * (churn.made - lost) <= sent <= 1000 * churn.made
    assert 1000 * (churn.made - lost) <= received <= 1000 * churn.made


def size(chance: random.Random) -> int:
    """Bytes of a send: mostly few, at times many."""
    return chance.choice((1, 13, 1447, 1448, 1449, 65_536, chance.randrange(1, 300_000)))
