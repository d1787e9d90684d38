"""Installations of agents: list, read, install, stop."""

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api, decode_body
from manager.api.lists import correlation_of, list_response, parse_page
from manager.api.wire import api_response
from manager.http.auth import agent_in_path
from manager.installations.agent_values import ConfigRefusedError
from manager.installations.installations import (
    Installation,
    create_installation,
    find_installation,
    installation_wire,
    list_installations,
    stop_installation,
)
from manager.schema.models.api import CreateInstallationRequest
from manager.store.agents import Agent


class Installations:
    """Handlers of installations."""

    def __init__(self, api: Api) -> None:
        self.api, self.store = api, api.store

    def answer(self, request: Request, found: Installation, status: int = 200) -> Response:
        """`api.GetInstallationResponse`."""
        return api_response(installation_wire(found) | {"correlationID": correlation_of(request)}, status)

    def in_path(self, request: Request) -> tuple[Agent, Installation]:
        """The agent and the installation named in the path; 404 if there is none."""
        agent = agent_in_path(self.store, request)
        with self.store.reading() as connection:
            found = find_installation(connection, agent.id, request.path_params["installation_id"])
        if found is None:
            raise HTTPException(404, "no such installation")
        return agent, found

    def list_page(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/installations: newest first."""
        agent, page = agent_in_path(self.store, request), parse_page(request)
        with self.store.reading() as connection:
            found, total = list_installations(connection, agent.id, page.size, page.offset)
        return list_response(request, (orjson.dumps(installation_wire(one)) for one in found), total)

    def get_installation(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}/installations/{installationID}."""
        return self.answer(request, self.in_path(request)[1])

    def create(self, request: Request) -> Response:
        """POST /agents/{agentIdentity}/installations: it takes the place of an earlier one."""
        decode_body(request, CreateInstallationRequest)
        agent = agent_in_path(self.store, request)
        try:
            with self.store.writing(exclusive=True) as connection:
                found = create_installation(connection, agent, self.api.clock(), self.api.random_bytes)
        except ConfigRefusedError as error:
            raise HTTPException(400, str(error)) from error
        return self.answer(request, found, 201)

    def stop(self, request: Request) -> Response:
        """POST /agents/{agentIdentity}/installations/{installationID}/stop: what was installed is deleted."""
        _, found = self.in_path(request)
        with self.store.writing(exclusive=True) as connection:
            found = stop_installation(connection, found, self.api.clock(), self.api.random_bytes)
        return self.answer(request, found)
