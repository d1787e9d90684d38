"""Checks, per object, that a Kubernetes object has an identity under which it can be stored.

The lengths are those that the API server allows (apimachinery, pkg/api/validation) and that the manager accepts.
"""

IDENTITY_FAULTS = ("not_an_object", "no_metadata", "no_uid", "no_name", "no_namespace")
LONGEST_UID, LONGEST_NAME, LONGEST_NAMESPACE = 128, 253, 63


def is_name(value: object, longest: int) -> bool:
    """Whether a value is a text that is not empty and not longer than that."""
    return isinstance(value, str) and 0 < len(value) <= longest


def identity_fault(obj: object, *, namespaced: bool) -> str | None:
    """One of `IDENTITY_FAULTS`; None for an object with an identity."""
    if not isinstance(obj, dict):
        return "not_an_object"
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        return "no_metadata"
    if not is_name(meta.get("uid"), LONGEST_UID):
        return "no_uid"
    if not is_name(meta.get("name"), LONGEST_NAME):
        return "no_name"
    if namespaced and not is_name(meta.get("namespace"), LONGEST_NAMESPACE):
        return "no_namespace"
    return None
