"""Loaded by schemathesis: names that a person could give, so that what is made can be asked for by links."""

import hashlib
from typing import Any

import schemathesis

from tests.manager.api.operations import TENANT

NAMES = ("identity", "infraIdentifier")


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """The body with a name made of the generated one, in the key's environment, and a configuration that is one."""
    if not isinstance(body, dict):
        return body
    given: dict[str, Any] = {
        name: f"made-{hashlib.sha256(str(body[name]).encode()).hexdigest()[:8]}" for name in NAMES if name in body
    }
    if "environmentIdentifier" in body:
        given |= {"environmentIdentifier": TENANT.environment, "config": {"data": {}}}
    return body | given
