"""The image registry of a tenant's settings, in place of the manager's own."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from manager.installations.agent_values import Source
from manager.store.api_settings import read_settings
from manager.store.tenancy import Tenant


def apply_image_registry(
    connection: Connection, tenant: Tenant, source: Source, config: Mapping[str, Any]
) -> tuple[Source, dict[str, Any]]:
    """Where the images of a tenant's agent come from, and its configuration with the secrets to pull them.

    `server` and `account` of the settings make the registry; secrets that the configuration names win.
    """
    found = read_settings(connection, tenant).image_registry
    registry = "/".join(part for part in (found.get("server"), found.get("account")) if part)
    secrets = config.get("imagePullSecrets") or found.get("secrets")
    return source._replace(registry=registry or source.registry), {**config, "imagePullSecrets": secrets}
