"""What a delegate created is known whatever it could still report; what it did not create is never owned."""

from typing import Any

import pytest

from manager.installations.owned_objects import merge_reports, owned_objects

Steps = list[list[dict[str, Any]]]


def report(result: str, uid: str = "u", *, managed: bool = False) -> dict[str, Any]:
    """A report about the one object of these tests."""
    about = {"apiVersion": "v1", "kind": "Secret", "namespace": "hce", "name": "a"}
    return about | {"result": result, "uid": "" if result == "absent" else uid, "managed": managed}


CASES: dict[str, tuple[Steps, list[str]]] = {
    "created": ([[report("absent"), report("created")]], ["u"]),
    "was there before": ([[report("unchanged"), report("configured")]], []),
    "applied before by a delegate, but not created": (
        [[report("unchanged", managed=True), report("unchanged", managed=True)]],
        [],
    ),
    "ended before anything was created": ([[report("absent")]], [""]),
    "ended after the creation, found by the next attempt": (
        [[report("absent"), report("unchanged", managed=True), report("unchanged", managed=True)]],
        ["u"],
    ),
    "ended before the creation, and a person was faster": (
        [[report("absent"), report("unchanged"), report("configured")]],
        [],
    ),
    "created, then applied again by another task": (
        [[report("absent"), report("created")], [report("unchanged", managed=True)]],
        ["u"],
    ),
    "created, deleted by a person, made again by the person": (
        [[report("absent"), report("created")], [report("unchanged", "other"), report("configured", "other")]],
        ["u"],
    ),
    "rolled back": ([[report("absent"), report("created"), report("deleted")]], []),
    "created and deleted": ([[report("absent"), report("created")], [report("deleted")]], []),
    "refused at its own apply": ([[report("absent"), report("failed", "")]], [""]),
}


@pytest.mark.parametrize("case", CASES)
def test_objects_that_a_delegate_created_are_owned(case: str) -> None:
    """By uid; an object of the same name with another uid is never deleted."""
    steps, uids = CASES[case]
    tasks = []
    for reports in steps:
        known: list[dict[str, Any]] = []
        for one in reports:
            known = merge_reports(known, [one])
        tasks.append(("apply", known))
    assert [one["uid"] for one in owned_objects(tasks)] == uids
