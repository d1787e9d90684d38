"""The served API document, and values in the types that it gives them. Pure, but for the file that is read once.

Kubernetes has its own types of JSON for some members (a port is a number or a text, a quantity a text); the document
writes them as objects. `conform` gives every value the document's type and leaves out what has none of it: objects come
from clusters, where anything may be in them.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

FILE = Path(__file__).parent / "openapi.json"
SCHEMAS = "#/components/schemas/"
PREFIX = "/api/v1"
INT_OR_STRING, QUANTITY = "intstr.IntOrString", "resource.Quantity"
ABSENT = object()
TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "boolean": (bool,), "number": (int, float)}


class Operation(NamedTuple):
    """An operation of the document: its path below a prefix, and its query parameters with their schemas."""

    id: str
    method: str
    path: str
    query: Mapping[str, Mapping[str, Any]]
    required: frozenset[str]


@cache
def document() -> Any:  # noqa: ANN401 - JSON
    """The document as it is served."""
    return orjson.loads(FILE.read_bytes())


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation, in the document's order."""
    found = []
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            query = [one for one in operation.get("parameters", ()) if one["in"] == "query"]
            schemas = {one["name"]: one["schema"] for one in query}
            required = frozenset(one["name"] for one in query if one.get("required"))
            name = operation["operationId"]
            found.append(Operation(name, method.upper(), path.removeprefix(PREFIX), schemas, required))
    return tuple(found)


def conform(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
    """The value in the types of a schema of the document."""
    return conform_to(value, {"$ref": SCHEMAS + name})


def conform_to(value: Any, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """The value in the types of a schema; ABSENT if it has another type. Members that the document lacks stay."""
    reference = schema.get("$ref")
    if reference is not None:
        name = reference.removeprefix(SCHEMAS)
        if name == INT_OR_STRING and isinstance(value, int | str) and not isinstance(value, bool):
            number = isinstance(value, int)
            return {"type": 0 if number else 1, "intVal": value if number else 0, "strVal": "" if number else value}
        if name == QUANTITY and isinstance(value, str):
            return {"Format": quantity_format(value), "value": value}
        schema = document()["components"]["schemas"][name]
    kind = schema.get("type")
    if kind == "object":
        return conform_members(value, schema) if isinstance(value, dict) else ABSENT
    if kind == "array":
        if not isinstance(value, list):
            return ABSENT
        return [one for item in value if (one := conform_to(item, schema["items"])) is not ABSENT]
    if kind is None:
        return value
    fits = isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return value if fits else ABSENT


def conform_members(value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object's members in their types."""
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    found: dict[str, Any] = {}
    for name, one in value.items():
        wanted = known.get(name, others)
        shaped = conform_to(one, wanted) if isinstance(wanted, Mapping) else one
        if shaped is not ABSENT:
            found[name] = shaped
    return found


def quantity_format(text: str) -> str:
    """The format of a quantity, as apimachinery names it (k8s.io/apimachinery/pkg/api/resource, quantity.go)."""
    if text.endswith("i"):
        return "BinarySI"
    return "DecimalExponent" if "e" in text.lower() and not text.endswith("E") else "DecimalSI"
