"""Single objects: read, applied by server-side apply, deleted by uid; a refusal says which object, verb and group."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from cluster_api.client import ApiClient, Change
from cluster_api.resources import ObjectName, Resource
from podsonar.errors import ObjectRefusedError
from podsonar.logs_and_probes import escape

Object = dict[str, Any]
APPLY_PATCH = "application/apply-patch+yaml"
MESSAGE_CHARACTERS = 600
OWNERS = ("Deployment", "DaemonSet")  # of pods
GONE_STATUSES = (404, 410)


class Applied(NamedTuple):
    """An object as the server has it after an apply, and whether it was not there before."""

    body: Object
    created: bool


class Right(NamedTuple):
    """One thing that an identity may do or not: a verb on a resource in a namespace ("" of the cluster)."""

    verb: str
    resource: Resource
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        place = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{self.verb} {self.resource.plural} of API group {self.resource.group!r}{place}"


class Objects:
    """Reads and writes of one identity."""

    def __init__(self, api: ApiClient) -> None:
        self.api = api

    def get(self, name: ObjectName) -> Object | None:
        """The object; None if there is none. ObjectRefusedError where it may not be read."""
        status, body = self.api.exchange(name.path, {})
        if status == 404:
            return None
        return checked(name, "get", status, body)

    def list(self, resource: Resource, namespace: str, selector: str) -> list[Object]:
        """The objects of a namespace that a label selector chooses."""
        name = ObjectName(resource.api_version, resource.kind, namespace, "")
        status, body = self.api.exchange(resource.path(namespace), {"labelSelector": selector})
        items: list[Object] = checked(name, "list", status, body).get("items") or []
        return items

    def create(self, body: Mapping[str, Any]) -> Object:
        """The object as the server has made it; ObjectRefusedError for anything else, an equal name, too."""
        name = ObjectName.of(body)
        path = name.resource.path(name.namespace)
        status, answer = self.api.exchange(path, {}, Change("POST", orjson.dumps(body)))
        return checked(name, "create", status, answer)

    def apply(self, body: Mapping[str, Any], manager: str, *, force: bool = False, dry_run: bool = False) -> Applied:
        """Apply the fields of a manifest as their manager.

        ObjectRefusedError for anything but success; of a conflict it has the server's sentence with field and manager.
        """
        name = ObjectName.of(body)
        query: dict[str, str | int] = {"fieldManager": manager, "force": "true" if force else "false"}
        if dry_run:
            query["dryRun"] = "All"
        status, answer = self.api.exchange(name.path, query, Change("PATCH", orjson.dumps(body), APPLY_PATCH))
        return Applied(checked(name, "patch", status, answer), status == 201)

    def delete(self, name: ObjectName, uid: str, *, grace_seconds: int | None = None) -> bool:
        """Delete the object if it has this uid; return whether it was there. A workload goes after its pods.

        Without `grace_seconds` the object's own time of grace holds. An object of the same name with another uid is
        another one: it stays, and nothing is raised.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground" if name.kind in OWNERS else "Background",
            "preconditions": {"uid": uid},
        } | ({} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds})
        status, body = self.api.exchange(name.path, {}, Change("DELETE", orjson.dumps(options)))
        if status in GONE_STATUSES or (status == 409 and b"uid" in body.lower()):
            return False
        checked(name, "delete", status, body)
        return True

    def may(self, right: Right) -> bool:
        """Whether this identity has a right, by the server's own answer."""
        attributes = {"verb": right.verb, "group": right.resource.group, "resource": right.resource.plural}
        attributes |= {key: value for key, value in (("namespace", right.namespace), ("name", right.name)) if value}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status, body = self.api.exchange(path, {}, Change("POST", orjson.dumps(review)))
        name = ObjectName("authorization.k8s.io/v1", "SelfSubjectAccessReview", "", "")
        return bool(checked(name, "create", status, body).get("status", {}).get("allowed"))


def checked(name: ObjectName, verb: str, status: int, body: bytes) -> Object:
    """The body of a success; ObjectRefusedError otherwise."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if 200 <= status < 300 and isinstance(answer, dict):
        return answer
    raise ObjectRefusedError(f"{verb} {name}: {status}{said(name, answer)}", status)


def said(name: ObjectName, answer: object) -> str:
    """What the API server says of a refusal; of an invalid Secret only the fields: the sentence may quote values."""
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        return ""
    details = answer.get("details")
    causes = (details.get("causes") if isinstance(details, dict) else None) or []
    fields = ", ".join(str(cause.get("field", "")) for cause in causes if isinstance(cause, dict))
    text = str(answer.get("message", ""))
    if name.kind == "Secret" and answer.get("reason") == "Invalid":
        text = f"{answer.get('reason', '')} {fields}".strip()
    return f" {escape(' '.join(text.split()))[:MESSAGE_CHARACTERS]}" if text else ""
