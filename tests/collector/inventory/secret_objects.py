"""Objects that hold a secret, and what is left of one once it was redacted."""

from typing import Any

import orjson

from collector.inventory.redacted_fields import Mode
from collector.inventory.redaction import Redaction

CANARY = "canary-3f9a"


def redacted(obj: dict[str, Any], mode: Mode = "structure", kind: str = "Pod") -> tuple[bytes, dict[str, int]]:
    """The object's JSON without secrets, and what was counted."""
    redaction = Redaction(mode)
    return redaction.json(kind, [orjson.loads(orjson.dumps(obj))]), dict(redaction.counts)


def in_args(*args: str) -> dict[str, Any]:
    """A pod with arguments."""
    return {"spec": {"containers": [{"name": "app", "args": list(args)}]}}


def in_container(**fields: Any) -> dict[str, Any]:
    """A pod with a container that has these fields."""
    return {"spec": {"containers": [{"name": "app", **fields}]}}
