"""Holds a fault from the side of the one who orders it: starts the holder, keeps it alive by beats, ends it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from select import select
from types import TracebackType
from typing import Any, NamedTuple, Self

from chaos.faults import delay_line
from chaos.faults.fault import MAX_SECONDS, Fault, InjectionError, PacketDelay, check

HOLDER = Path(__file__).with_name("holder.py")
READY_SECONDS, END_SECONDS = 10.0, 10.0


class Released(NamedTuple):
    """How a fault ended: `by` is the rung (`G1` its time, `G2` asked, `G3` no beat, `G4` its holder died, `ended`)."""

    by: str
    counters: Mapping[str, float]


class Held:
    """A fault that is in. As a context it is released at the end."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready: Mapping[str, Any]) -> None:
        self.process = process
        self.injected_ns, self.deadline_ns = int(ready["injectedNs"]), int(ready["deadlineNs"])
        self.released: Released | None = None

    def beat(self) -> None:
        """Say that somebody still wants the fault; at least once a second, five seconds without one end it."""
        self.send(b"beat\n")

    def send(self, text: bytes) -> None:
        """Write to the holder, which may have ended."""
        if self.process.stdin is not None:
            with suppress(OSError, ValueError):
                self.process.stdin.write(text)
                self.process.stdin.flush()

    def ended(self) -> bool:
        """Whether the fault is over."""
        return self.released is not None or self.process.poll() is not None

    def release(self) -> Released:
        """End the fault, wait until it is over, and return how it ended."""
        if self.released is None:
            self.send(b"release\n")
            answer = read_line(self.process, END_SECONDS)
            if answer is None or "released" not in answer:
                self.process.kill()
                self.released = Released("G4", {})
            else:
                self.released = Released(str(answer["released"]), answer["counters"])
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
        return self.released

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.release()


def read_line(process: "subprocess.Popen[bytes]", seconds: float) -> dict[str, Any] | None:
    """The next JSON line of a holder; None if it ends or says nothing in that time."""
    if process.stdout is None or not select([process.stdout], [], [], seconds)[0]:
        return None
    line = process.stdout.readline()
    found: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
    return found


def try_out(fault: Fault) -> None:
    """InjectionError if the fault is wrong; a delay, needing much of its node, is made without effect and closed."""
    order = fault.to_order()
    if isinstance(fault, PacketDelay):
        try:
            delay_line.rehearse(order)
        except (OSError, ValueError) as error:
            raise InjectionError(f"{order['kind']}: {error}") from error


def hold(fault: Fault, seconds: float) -> Held:
    """Make a fault that ends after some seconds at the latest; InjectionError says why it could not be made."""
    check(0 < seconds <= MAX_SECONDS, f"seconds is {seconds}: expected more than 0, at most {MAX_SECONDS:.0f}")
    order = fault.to_order() | {"seconds": seconds}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(HOLDER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env={}
    )
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
    ready = read_line(process, READY_SECONDS)
    if ready is None or "ready" not in ready:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        raise InjectionError(f"{order['kind']}: {(ready or {}).get('error') or 'its holder ended at once'}")
    return Held(process, ready)
