"""Answers compared with the served document's schemas, by a JSON Schema library."""

from functools import cache
from typing import Any

import jsonschema_rs

from manager.schema.document import document


def as_json_schema(value: Any) -> Any:
    """The document's schemas as JSON Schema: `nullable` is a type of its own there."""
    if isinstance(value, list):
        return [as_json_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: as_json_schema(one) for name, one in value.items() if name != "nullable"}
    return {**found, "type": [value["type"], "null"]} if value.get("nullable") is True else found


@cache
def validator(name: str) -> Any:
    """The validator of a schema of the document."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": as_json_schema(document()["components"])}
    return jsonschema_rs.validator_for(schema)


def violations(answer: Any, name: str) -> list[str]:
    """What differs from the schema, with its place."""
    return [f"{error.instance_path}: {error.message[:200]}" for error in validator(name).iter_errors(answer)]
