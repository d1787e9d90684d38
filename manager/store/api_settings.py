"""Settings of an account, organization and project: from which registry the images of agents come."""

import hashlib
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select

from manager.store.database import upsert
from manager.store.tables import API_SETTINGS
from manager.store.tenancy import Tenant, of_tenant


class ApiSettings(NamedTuple):
    """The settings of a tenant; `created_ns` is 0 before they are saved."""

    id: str
    image_registry: dict[str, Any]
    created_ns: int
    created_by: str
    updated_ns: int
    updated_by: str


def settings_id(tenant: Tenant) -> str:
    """The id of a tenant's settings, the same for ever: 24 hex digits."""
    return hashlib.sha256("\0".join(tenant).encode()).hexdigest()[:24]


def read_settings(connection: Connection, tenant: Tenant) -> ApiSettings:
    """The settings of a tenant's account, organization and project; empty ones before they are saved."""
    tenant = tenant._replace(environment="")
    row = connection.execute(select(API_SETTINGS).where(of_tenant(API_SETTINGS, tenant))).mappings().first()
    if row is None:
        return ApiSettings(settings_id(tenant), {}, 0, "", 0, "")
    values = {name: row[name] for name in ApiSettings._fields}
    return ApiSettings(**values | {"image_registry": orjson.loads(row["image_registry"])})


def save_settings(
    connection: Connection, tenant: Tenant, image_registry: dict[str, Any], by: str, now_ns: int
) -> ApiSettings:
    """Store the settings of a tenant's account, organization and project, and return them."""
    tenant = tenant._replace(environment="")
    row = {"id": settings_id(tenant), **tenant._asdict(), "image_registry": orjson.dumps(image_registry)}
    row |= {"created_ns": now_ns, "created_by": by, "updated_ns": now_ns, "updated_by": by}
    upsert(connection, API_SETTINGS, [row], keep=("created_ns", "created_by"))
    return read_settings(connection, tenant)
