"""A task's result as the document shows it, member by member. Pure."""

from typing import Any, NamedTuple

import orjson

from chaos.probes.phases import NOT_EVALUATED, Probes

# Only E2008 is public; the other numbers are this project's (docs/linux.md).
INJECTION, CONTACT_LOST, INTERRUPTED = "E1101: CHAOS_INJECT_ERROR", "E1102: CONTACT_LOST", "E1103: INTERRUPTED"
BAD_TASK = "E1104: TASK_NOT_UNDERSTOOD"


class Failure(NamedTuple):
    """Why a task ended with an error."""

    code: str
    phase: str
    reason: str
    target: str


def target_of(infra_id: str, **names: str) -> str:
    """`{chaosInfraID: …, probeName: …}`."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in {"chaosInfraID": infra_id, **names}.items()) + "}"


def error_output(failure: Failure) -> dict[str, str]:
    """The code, and the reason as a JSON text."""
    reason = {"errorCode": failure.code, "phase": failure.phase, "reason": failure.reason, "target": failure.target}
    return {"errorCode": failure.code, "reason": orjson.dumps(reason).decode()}


def make_result(
    status: str, verdict: str, failure: Failure | None, percentage: int, statuses: list[dict[str, Any]]
) -> dict[str, Any]:
    """The result's members in the document's order."""
    return {
        "taskStatus": status,
        "verdict": verdict,
        **({"errorOutput": error_output(failure)} if failure else {}),
        "probeSuccessPercentage": str(percentage),
        "probeStatuses": statuses,
    }


def not_evaluated(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The probes of a task of which none ran."""
    probes = task.get("action", {}).get("chaos", {}).get("probes") or []
    names = ("name", "type", "mode")
    status = {"verdict": "N/A", "description": NOT_EVALUATED}
    return [{name: str(probe.get(name, "")) for name in names} | {"status": status} for probe in probes]


def judged(probes: Probes, failure: Failure | None, *, stopped: bool) -> dict[str, Any]:
    """The result of a task that ran: an error first, then a stop, then what the probes found."""
    if failure is not None:
        return make_result("Error", "Error", failure, 0, probes.statuses())
    if stopped:
        percentage = probes.percentage() if probes.probes else 0
        return make_result("Stopped", "Stopped", None, percentage, probes.statuses())
    if probes.has_failed():
        return make_result("Completed_With_Probe_Failure", "Fail", None, probes.percentage(), probes.statuses())
    return make_result("Completed", "Pass", None, probes.percentage(), probes.statuses())


def result_body(result: dict[str, Any], logs: str) -> bytes:
    """The body as it is sent."""
    return orjson.dumps({"result": result, "logs": logs}, option=orjson.OPT_INDENT_2)
