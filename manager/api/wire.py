"""What answers of the API have in common: its fields of every record, its media type. Pure."""

import base64
import hashlib
from typing import Any

import orjson
from starlette.responses import Response

from manager.store.agents import Agent
from manager.store.tenancy import Tenant
from podsonar.timestamp import rfc3339_milliseconds

JSON = "application/json; charset=UTF-8"


def person_id(token_id: str) -> str:
    """Who made or changed something: 22 characters that stand for the holder of a key."""
    return base64.urlsafe_b64encode(hashlib.sha256(token_id.encode()).digest()[:16]).decode().rstrip("=")


def tenant_wire(tenant: Tenant) -> dict[str, str]:
    """The four identifiers of a tenant."""
    return {f"{part}Identifier": value for part, value in tenant._asdict().items()}


def record_fields(agent: Agent, row_id: str, created_ns: int, updated_ns: int) -> dict[str, Any]:
    """The fields that every record of an agent has."""
    return {
        "id": row_id,
        "agentID": agent.object_id,
        **tenant_wire(agent.tenant),
        "createdAt": rfc3339_milliseconds(created_ns),
        "createdBy": "",
        "updatedAt": rfc3339_milliseconds(updated_ns),
        "updatedBy": "",
        "removed": False,
    }


def api_response(body: Any, status: int = 200) -> Response:  # noqa: ANN401 - any JSON
    """`body` as the API's JSON."""
    return Response(orjson.dumps(body), status, media_type=JSON)
