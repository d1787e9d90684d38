"""Objects put into and taken out of an API server, over HTTPS.

Server-side apply: one request that creates or replaces, takes away what an earlier apply set and this one does not,
and leaves defaults alone (a plain replace of a pod is refused for the very defaults that the server filled in).
"""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from podsonar.errors import ApiServerError

Object = dict[str, Any]

# Set by the server; from a client they would be refused or would ask for another object's identity.
SERVER_FIELDS = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation", "managedFields")
PARALLEL = 16


@dataclass(frozen=True, slots=True)
class Resource:
    """The API path of objects of one kind."""

    prefix: str  # "/api/v1", "/apis/apps/v1"
    plural: str
    namespaced: bool
    has_status: bool

    def path(self, metadata: Object) -> str:
        """The path of the object with this metadata."""
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if self.namespaced else ""
        return f"{self.prefix}{place}/{self.plural}/{metadata['name']}"


def settable_fields(body: Object) -> Object:
    """The fields that a client may set: all except the status and the server's own metadata."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in SERVER_FIELDS}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def status_patch(body: Object) -> Object:
    """The body for the status subresource: identity and status."""
    metadata = {key: value for key, value in body["metadata"].items() if key in ("name", "namespace")}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "status": body["status"]}


class Objects:
    """Applies and deletes objects through one HTTP client; safe for several threads."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.known: dict[tuple[str, str], Resource] = {}
        self.lock = threading.Lock()

    def request(self, method: str, path: str, **arguments: Any) -> Object:  # noqa: ANN401 - httpx's own arguments
        """Return the answer's body; raise ApiServerError with the server's message if the request was refused."""
        try:
            response = self.client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise ApiServerError(f"{method} {path}: the API server did not answer: {error}") from error
        answer: Object = orjson.loads(response.content) if response.content.startswith(b"{") else {}
        if response.is_error:
            message = answer.get("message", "no message")
            raise ApiServerError(f"{method} {path}: {response.status_code}, expected success: {message}")
        return answer

    def resource(self, body: Object) -> Resource:
        """The object's resource, from the server's discovery API, requested once per group version."""
        version, kind = body["apiVersion"], body["kind"]
        with self.lock:
            if (version, kind) not in self.known:
                self.discover(version)
            if (version, kind) not in self.known:
                raise ApiServerError(f"kind {kind!r} of {version!r} is not served, expected a kind that the server has")
            return self.known[version, kind]

    def discover(self, version: str) -> None:
        """Record every kind of a group version."""
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        listed = self.request("GET", prefix)["resources"]
        names = {entry["name"] for entry in listed}
        for entry in listed:
            plural = entry["name"]
            if "/" not in plural:
                self.known[version, entry["kind"]] = Resource(
                    prefix, plural, entry["namespaced"], f"{plural}/status" in names
                )

    def apply_one(self, body: Object) -> Object:
        """Create or replace the object, then set its status if it has one; return it as stored."""
        resource = self.resource(body)
        path = resource.path(body["metadata"])
        parameters = {"fieldManager": "podsonar-lab", "force": "true"}
        headers = {"Content-Type": "application/apply-patch+yaml"}
        stored = self.request(
            "PATCH", path, params=parameters, headers=headers, content=orjson.dumps(settable_fields(body))
        )
        if "status" in body and resource.has_status:
            content = orjson.dumps(status_patch(body))
            stored = self.request("PATCH", f"{path}/status", params=parameters, headers=headers, content=content)
        return stored

    def apply(self, bodies: Iterable[Object]) -> list[Object]:
        """Apply the objects, namespaces first and the rest in parallel; return them as stored, in the order given."""
        bodies_in_order = list(bodies)
        stored: dict[int, Object] = {}
        with ThreadPoolExecutor(PARALLEL) as pool:
            for first in (True, False):
                chosen = [place for place, body in enumerate(bodies_in_order) if (body["kind"] == "Namespace") is first]
                results = pool.map(self.apply_one, [bodies_in_order[place] for place in chosen])
                stored.update(zip(chosen, results, strict=True))
        return [stored[place] for place in range(len(bodies_in_order))]

    def delete(self, body: Object) -> None:
        """Delete the object without a grace period; finalize a namespace, since no controller does."""
        path = self.resource(body).path(body["metadata"])
        options = orjson.dumps({"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
        headers = {"Content-Type": "application/json"}
        self.request("DELETE", path, headers=headers, content=options)
        if body["kind"] == "Namespace":
            final = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": body["metadata"]["name"]}}
            content = orjson.dumps({**final, "spec": {"finalizers": []}})
            self.request("PUT", f"{path}/finalize", headers=headers, content=content)
