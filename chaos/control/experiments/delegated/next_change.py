"""What is to be written of a delegate's run now, from its state and its tasks. Pure; times in nanoseconds.

A stop that nobody confirms within seconds is given up: its runner is dead. The delegate then deletes the runner and its
injectors by UID; only when all of them are gone, or the deadline has passed, the run is `Stopped`.
"""

from typing import NamedTuple

from chaos.control.experiments.delegated.run_tasks import Action, RunTasks
from manager.installations.tasks import OPEN, StoredTask
from podsonar.timestamp import NS_PER_SECOND

STOP_NS = 10 * NS_PER_SECOND  # for a runner to stop by itself, and to say so
AGAIN_NS = 600 * NS_PER_SECOND  # after a removal that failed, or that no delegate asked for
LOOK_BACK_NS = 86_400 * NS_PER_SECOND  # after its deadline a run that cannot be taken away is looked at no longer
UNCONFIRMED = "not confirmed"


class RunEnd(NamedTuple):
    """How a run ends without its runner, and why; `error` where that is one."""

    phase: str
    reason: str
    error: str = ""


class Change(NamedTuple):
    """What is to be written of a run.

    `untaken`: why the tasks end that no delegate has taken; `make`: the next task; `unconfirmed`: why a stop is not
    confirmed.
    """

    untaken: str = ""
    make: Action | None = None
    unconfirmed: str = ""
    end: RunEnd | None = None


NOTHING = Change()


def change_of(tasks: RunTasks, heard: bool, now_ns: int) -> Change:
    """What is to be written of a run; `heard`: whether its runner was heard of."""
    return change_of_ended(tasks, now_ns) if tasks.record.completed else change_of_open(tasks, heard, now_ns)


def rests_until(tasks: RunTasks, now_ns: int) -> int:
    """Until when there is nothing to write of a run of which there is nothing to write now; 0: nobody knows."""
    if not tasks.record.completed or tasks.open:
        return 0
    removal = tasks.get("remove")
    again_ns = removal.updated_ns + AGAIN_NS if removal else 0
    return again_ns if again_ns > now_ns else now_ns + LOOK_BACK_NS


def change_of_open(tasks: RunTasks, heard: bool, now_ns: int) -> Change:
    """What is to be written of a run that has not completed."""
    record, brought, abort = tasks.record, tasks.get("run"), tasks.get("abort")
    if brought is None:
        return NOTHING
    if record.stop_ns and brought in tasks.untaken:
        reason = "stopped before a delegate took it"
        return Change(untaken=reason, end=RunEnd("Skipped", f"{reason}: nothing was applied"))
    if record.stop_ns and abort is None:
        return Change(make="abort")
    if brought.status not in (*OPEN, "SUCCESS") and not heard:
        reason = f"the delegate brought no runner: {brought.message}"
        phase = "Timeout" if brought.status == "EXPIRED" else "Error"
        return change_of_given_up(tasks, RunEnd(phase, reason, reason), now_ns)
    if record.stop_ns and abort is not None and abort.status not in OPEN and now_ns >= record.stop_ns + STOP_NS:
        reason = "released; confirmed by the delegate: the runner and its injectors are gone"
        return change_of_given_up(tasks, RunEnd("Stopped", reason), now_ns)
    return NOTHING


def change_of_given_up(tasks: RunTasks, end: RunEnd, now_ns: int) -> Change:
    """Have the runner and its injectors deleted, and end the run once they are gone; until then it is not confirmed."""
    removal = tasks.get("remove")
    if (removal is None and (tasks.owned or end.phase == "Stopped")) or is_due_again(removal, now_ns):
        return Change(make="remove")
    if removal is None or (removal.status == "SUCCESS" and removal.body.get("injectorsGone")):
        return Change(end=end)
    message = tasks.record.execution.message
    if removal.status not in OPEN and UNCONFIRMED in message and f"{UNCONFIRMED} (" not in message:
        return Change(unconfirmed=removal.message or "the delegate did not say that its injectors are gone")
    return NOTHING


def is_due_again(removal: StoredTask | None, now_ns: int) -> bool:
    """Whether a removal has failed so long ago that a delegate may be able to do it now."""
    return removal is not None and removal.status not in (*OPEN, "SUCCESS") and now_ns >= removal.updated_ns + AGAIN_NS


def change_of_ended(tasks: RunTasks, now_ns: int) -> Change:
    """Have what is left of a run's runner deleted, unless the experiment retains it."""
    removal = tasks.get("remove")
    if removal is not None and not is_due_again(removal, now_ns):
        return NOTHING
    retained = tasks.record.manifest["spec"].get("cleanupPolicy") == "retain"
    is_left = not retained and tasks.owned and len(tasks.open) == len(tasks.untaken)
    return Change(untaken="the run is over" if tasks.untaken else "", make="remove" if is_left else None)
