"""The third stage: every object by server-side apply, in order; the first refusal ends it."""

from collections.abc import Callable, Mapping, Sequence

from cluster_api.objects import Applied, Object, Objects
from cluster_api.resources import ObjectName
from delegate.stages.dry_run import is_managed
from delegate.task import ObjectReport, Result
from podsonar.errors import ObjectRefusedError

COUNTS = {"resourceVersion", "generation", "managedFields"}


def apply_all(
    objects: Objects,
    bodies: Sequence[Object],
    before: Mapping[ObjectName, Object | None],
    manager: str,
    *,
    force: bool,
    on_applied: Callable[[ObjectReport], object],
) -> bool:
    """Apply the manifests; each result goes to `on_applied`. Whether all of them were accepted."""
    for body in bodies:
        name = ObjectName.of(body)
        found = before.get(name)
        managed = found is not None and is_managed(found, manager)
        try:
            applied = objects.apply(body, manager, force=force)
        except ObjectRefusedError as error:
            on_applied(ObjectReport.of(name, "failed", managed=managed, message=str(error)))
            return False
        uid = applied.body["metadata"]["uid"]
        on_applied(ObjectReport.of(name, result_of(found, applied), uid=uid, managed=managed))
    return True


def result_of(found: Object | None, applied: Applied) -> Result:
    """What an apply did; its version may be newer by what controllers have written into its status meanwhile."""
    if applied.created:
        return "created"
    return "unchanged" if found is not None and content_of(found) == content_of(applied.body) else "configured"


def content_of(body: Object) -> Object:
    """An object without its status and without what counts its changes."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in COUNTS}
    return {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata}
