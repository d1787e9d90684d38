"""A probe that runs a command by `/bin/sh -c` and compares its output; the whole process group ends at the time-out."""

import os
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from chaos.probes.attempt import CANNOT_RUN, Attempt
from chaos.probes.comparator import ComparisonError, meets
from chaos.task_action import CommandInputs

KEPT_BYTES = 64 << 10
STEP_SECONDS = 0.05
CONFINE = Path(__file__).with_name("confine.py")


class Finished(NamedTuple):
    """How a command ended: its status (negative: by a signal; None: at the time-out), and what it wrote."""

    status: int | None
    output: str
    error: str


def run_command(
    command: str, seconds: float, folder: str, environment: dict[str, str], hidden: tuple[str, ...] = ()
) -> Finished:
    """Run a command; OSError if there is no shell. Output beyond 64 KiB of each kind is read and left out.

    With `hidden` it can read neither those files and folders nor this process (`confine`).
    """
    confined = [sys.executable, "-I", "-S", "-B", str(CONFINE), *hidden, "--"] if hidden else []
    with subprocess.Popen(
        [*confined, "/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, error, in_time = read_until_end(process, time.monotonic() + seconds)
        finally:
            # Also what the command left behind in its group.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    status = process.returncode if in_time else None
    return Finished(status, output.decode("utf-8", "replace"), error.decode("utf-8", "replace"))


def read_until_end(process: "subprocess.Popen[bytes]", deadline: float) -> tuple[bytes, bytes, bool]:
    """What the process writes until it ends, and whether that was before the deadline.

    A child of it that keeps the pipes open is not waited for.
    """
    assert process.stdout is not None  # noqa: S101 - both are pipes
    assert process.stderr is not None  # noqa: S101
    output, error = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, output), (process.stderr, error)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, kept)
        while True:
            has_ended, left = process.poll() is not None, deadline - time.monotonic()
            if left <= 0:
                return bytes(output), bytes(error), has_ended
            ready = selector.select(0 if has_ended else min(left, STEP_SECONDS)) if selector.get_map() else []
            if not ready and has_ended:
                return bytes(output), bytes(error), True
            if not selector.get_map():
                time.sleep(min(left, STEP_SECONDS))
            for key, _events in ready:
                piece = os.read(key.fd, KEPT_BYTES)
                key.data.extend(piece[: KEPT_BYTES - len(key.data)])
                if not piece:
                    selector.unregister(key.fileobj)


def status_text(status: int) -> str:
    """`exit status 127`, or the signal's name."""
    return f"exit status {status}" if status >= 0 else f"signal: {signal.strsignal(-status)}"


def try_command(
    inputs: CommandInputs, seconds: float, folder: str, environment: dict[str, str], hidden: tuple[str, ...] = ()
) -> Attempt:
    """One try of a cmdProbe."""
    try:
        finished = run_command(inputs.command, seconds, folder, environment, hidden)
    except (OSError, ValueError) as error:
        return Attempt("Error", f"unable to run command, {type(error).__name__}")
    if finished.status is None:
        return Attempt("Failed", f"command timed out after {seconds:g}s")
    if finished.status != 0:
        plain = f"unable to run command, {status_text(finished.status)}"
        cannot_run = finished.status in CANNOT_RUN
        return Attempt("Error" if cannot_run else "Failed", f"{plain}; {finished.error}", plain=plain)
    comparator = inputs.comparator
    try:
        met = meets(finished.output, comparator)
    except ComparisonError as error:
        return Attempt("Error", f"unable to compare: {error}", plain="unable to compare")
    found = finished.output.strip()[:200]
    expected = f"{comparator.criteria} {comparator.value[:200]!r}"
    text = f"output {found!r}: {'' if met else 'expected '}{expected}"
    plain = f"output of {len(finished.output)} characters {'is' if met else 'is not'} as expected"
    return Attempt("Passed" if met else "Failed", text, plain=plain)
