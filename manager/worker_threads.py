"""Runs functions in threads beside the event loop, so that an error of one keeps nothing of it in memory."""

from collections.abc import Callable
from traceback import clear_frames
from typing import Any, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread  # noqa: TID251 - the one place

Result = TypeVar("Result")


class Raised(NamedTuple):
    """What a function has raised."""

    error: Exception


async def run_in_thread(
    function: Callable[..., Result],
    *arguments: Any,  # noqa: ANN401 - the function's own
    limiter: CapacityLimiter | None = None,
    abandon_on_cancel: bool = False,
) -> Result:
    """The result of `function`, or its error.

    An error that `anyio.to_thread.run_sync` raises is held by a frame of its own traceback, and so is what the function
    was given: a refused body of 32 MiB, and what it was inflated to, would stay until Python looks for such cycles.
    """
    outcome = await to_thread.run_sync(
        result_or_error, function, arguments, limiter=limiter, abandon_on_cancel=abandon_on_cancel
    )
    if not isinstance(outcome, Raised):
        return outcome
    try:
        raise outcome.error
    finally:
        del outcome


def result_or_error(function: Callable[..., Result], arguments: tuple[Any, ...]) -> Result | Raised:
    """What the function returns or raises."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - raised again beside the event loop
        clear_variables(error)
        return Raised(error)


def clear_variables(error: BaseException) -> None:
    """Free what the functions that an error has left, or one that led to it, held; their lines stay known."""
    waiting, known = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in known:
            known.add(id(one))
            clear_frames(one.__traceback__)
            waiting += [led for led in (one.__cause__, one.__context__) if led is not None]
