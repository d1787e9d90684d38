"""What an apply is said to have done, by the object before and after it."""

from typing import Any

import pytest

from cluster_api.objects import Applied
from delegate.stages.apply import result_of

BEFORE: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "generation": 1, "labels": {"x": "y"}},
    "spec": {"replicas": 1},
}


def after(**changes: Any) -> dict[str, Any]:
    """The object with other members; `metadata` is added to what it has."""
    metadata = BEFORE["metadata"] | changes.pop("metadata", {})
    return BEFORE | changes | {"metadata": metadata}


@pytest.mark.parametrize(
    ("found", "applied", "expected"),
    [
        (None, Applied(BEFORE, created=True), "created"),
        (BEFORE, Applied(BEFORE, created=False), "unchanged"),
        (BEFORE, Applied(after(metadata={"resourceVersion": "8"}, status={"replicas": 1}), created=False), "unchanged"),
        (BEFORE, Applied(after(metadata={"managedFields": [{}]}, status={}), created=False), "unchanged"),
        (BEFORE, Applied(after(metadata={"generation": 2}, spec={"replicas": 2}), created=False), "configured"),
        (BEFORE, Applied(after(metadata={"labels": {"x": "z"}}), created=False), "configured"),
        (BEFORE, Applied(after(metadata={"annotations": {"a": "b"}}), created=False), "configured"),
        (BEFORE, Applied(after(metadata={"uid": "v"}), created=False), "configured"),
        (None, Applied(BEFORE, created=False), "configured"),
    ],
)
def test_status_of_a_controller_is_no_change(found: Any, applied: Applied, expected: str) -> None:
    """A controller may write it between the look and the apply; nothing else may differ."""
    assert result_of(found, applied) == expected
