"""Objects with something in every position of a kind, built from the OpenAPI documents that an API server publishes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

Schema = dict[str, Any]
Path = tuple[str | int, ...]
KEY = "some.key/name"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a string stands in an object of a kind: a path of keys and places; `key` where it is a map's own key."""

    path: Path
    key: bool = False


class Schemas:
    """The schemas of a server by kind."""

    def __init__(self, client: httpx.Client, groups: tuple[str, ...]) -> None:
        self.by_name: dict[str, Schema] = {}
        for group in groups:
            document = client.get(f"/openapi/v3/{group}").raise_for_status().json()
            self.by_name |= document["components"]["schemas"]

    def of_kind(self, kind: str, version: str) -> Schema:
        """The schema of a kind."""
        group, _, number = version.rpartition("/")
        wanted = {"group": group, "version": number, "kind": kind}
        return next(one for one in self.by_name.values() if wanted in one.get("x-kubernetes-group-version-kind", []))

    def resolved(self, schema: Schema) -> Schema:
        """The schema behind references."""
        while "$ref" in schema or "allOf" in schema:
            schema = schema["allOf"][0] if "allOf" in schema else self.by_name[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def positions(self, schema: Schema, path: Path = ()) -> Iterator[Position]:
        """Every place of an object of that schema where a string may stand."""
        schema = self.resolved(schema)
        kinds = {one.get("type") for one in schema.get("oneOf", [])} | {schema.get("type")}
        if "properties" in schema:
            for name, inner in schema["properties"].items():
                yield from self.positions(inner, (*path, name))
        elif "additionalProperties" in schema:
            yield Position((*path, KEY), key=True)
            yield from self.positions(schema["additionalProperties"], (*path, KEY))
        elif "items" in schema:
            yield from self.positions(schema["items"], (*path, 0))
        elif "string" in kinds:
            yield Position(path)
        elif kinds == {"object"}:  # of any shape, such as the fields of managedFields
            yield Position((*path, KEY), key=True)
            yield Position((*path, KEY))


def put(obj: Any, path: Path, value: str) -> None:
    """Set a string at a path, making what leads there."""
    for step, following in pairwise(path):
        empty: Any = [] if following == 0 else {}
        if isinstance(step, int):
            if not obj:
                obj.append(empty)
            obj = obj[0]
        else:
            obj = obj.setdefault(step, empty)
    if path[-1] == 0:
        obj.append(value)
    else:
        obj[path[-1]] = value


def with_string(obj: dict[str, Any], position: Position, value: str) -> None:
    """Put a string at a position of an object."""
    if position.key:
        put(obj, (*position.path[:-1], value), "x")
    else:
        put(obj, position.path, value)


def sparse(position: Position, value: str, number: int) -> dict[str, Any]:
    """An object with nothing but an identity and a string at a position."""
    obj: dict[str, Any] = {"metadata": {"name": f"n{number}", "namespace": "shop", "uid": f"u{number}"}}
    with_string(obj, position, value)
    return obj


def dense(positions: list[Position], value: Callable[[int], str]) -> dict[str, Any]:
    """An object with a string at every position."""
    obj: dict[str, Any] = {"metadata": {}}
    for number, position in enumerate(positions):
        with_string(obj, position, value(number))
    return obj
