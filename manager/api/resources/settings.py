"""Settings of an account, organization and project."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api, decode_body, plain
from manager.api.lists import correlation_of
from manager.api.wire import api_response, person_id
from manager.schema.models.service import Empty, SaveSettingRequest
from manager.store.api_settings import ApiSettings, read_settings, save_settings
from podsonar.timestamp import rfc3339_milliseconds


def settings_wire(found: ApiSettings) -> dict[str, Any]:
    """`service.GetSettingResponse`; every member of the image registry is there, empty until it is saved."""
    registry = {"server": "", "account": "", "secrets": []} | found.image_registry
    return {
        "id": found.id,
        "imageRegistry": registry,
        "createdAt": rfc3339_milliseconds(found.created_ns),
        "createdBy": found.created_by,
        "updatedAt": rfc3339_milliseconds(found.updated_ns),
        "updatedBy": found.updated_by,
        "removed": False,
    }


class Settings:
    """Handlers of settings. The document answers all of them with 201."""

    def __init__(self, api: Api) -> None:
        self.api, self.store = api, api.store

    def get_setting(self, request: Request) -> Response:
        """GET /settings."""
        with self.store.reading() as connection:
            found = read_settings(connection, request.state.tenant)
        return api_response(settings_wire(found) | {"correlationID": correlation_of(request)}, 201)

    def save_setting(self, request: Request) -> Response:
        """POST /settings: an image registry that is left out stays as it is."""
        body = decode_body(request, SaveSettingRequest)
        given = body.image_registry
        return self.saved(request, plain(given) if isinstance(given, msgspec.Struct) else None)

    def reset_image_registry_setting(self, request: Request) -> Response:
        """POST /resetimageregistrysettings."""
        decode_body(request, Empty)
        return self.saved(request, {})

    def saved(self, request: Request, registry: dict[str, Any] | None) -> Response:
        """The settings with that image registry; None: with the one that they have."""
        tenant, by = request.state.tenant, person_id(request.state.principal.token_id)
        with self.store.writing(exclusive=True) as connection:
            if registry is None:
                registry = read_settings(connection, tenant).image_registry
            found = save_settings(connection, tenant, registry, by, self.api.clock())
        return api_response(settings_wire(found) | {"correlationID": correlation_of(request)}, 201)
