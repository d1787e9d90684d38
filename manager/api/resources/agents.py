"""Agents: list, create, read, update, delete; the agent's infrastructure, and the tenant's."""

import re
from typing import Any

import orjson
from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api, decode_body, plain
from manager.api.lists import correlation_of, list_response, parse_page
from manager.api.resources.agent_config import complete_config
from manager.api.wire import api_response, person_id, tenant_wire
from manager.http.auth import agent_in_path
from manager.installations.agent_manifests import as_yaml
from manager.installations.agent_values import ConfigRefusedError, check_config
from manager.installations.handout import agent_manifests
from manager.installations.image_registry import apply_image_registry
from manager.installations.installations import (
    create_installation,
    installation_wire,
    newest_installation,
    remove_installations,
)
from manager.schema.models.api import CreateAgentRequest, UpdateAgentRequest
from manager.store.agent_lists import AgentFilter, Listed, change_agent, count_of, list_page
from manager.store.agents import Agent, find_agent_row, insert_agent
from manager.store.batches.queries import newest_inventory
from manager.store.object_ids import following_object_id
from manager.store.tokens.agents import mint_agent_token
from podsonar.timestamp import rfc3339_milliseconds

IDENTITY = re.compile(r"(?!\.{1,2}\Z)[^\x00-\x20\x7f/\\?#%]{1,253}")
TEXT_LENGTH = 1024


def agent_wire(listed: Listed, installation: dict[str, Any] | None = None) -> dict[str, Any]:
    """`api.GetAgentResponse` without correlation ID, in the service's order; counts of 0 are left out."""
    agent = listed.agent
    found = {
        "id": agent.object_id,
        "name": agent.name,
        "identity": agent.identity,
        "description": f"Discovery agent for infrastructure identity {agent.identity}",
        "tags": None,
        **tenant_wire(agent.tenant),
        "config": complete_config({}) if agent.config is None else orjson.loads(agent.config),
        "permanentInstallation": agent.permanent,
        "webhookURL": agent.webhook_url,
        "installationType": agent.installation_type or "MANIFEST",
        "createdAt": rfc3339_milliseconds(agent.created_ns),
        "updatedAt": rfc3339_milliseconds(agent.updated_ns),
        "createdBy": agent.created_by,
        "updatedBy": agent.updated_by,
        "removed": False,
    }
    counts = {"serviceCount": listed.services, "networkMapCount": listed.network_maps}
    found |= {name: count for name, count in counts.items() if count}
    return found if installation is None else found | {"installationDetails": installation}


def infrastructure_wire(agent: Agent) -> dict[str, Any]:
    """`api.Infrastructure`: the cluster that an agent is for."""
    config = {} if agent.config is None else orjson.loads(agent.config)
    return {
        "identifier": agent.identity,
        "name": agent.identity,
        "type": "KubernetesDirect",
        "agentName": agent.name,
        "connectorRef": "",
        "environmentRef": agent.tenant.environment,
        "orgIdentifier": agent.tenant.organization,
        "projectIdentifier": agent.tenant.project,
        "namespace": config.get("kubernetes", {}).get("namespace", ""),
        "isCompatible": True,
        "isUsed": True,
    }


def check_identity(name: str, value: str) -> None:
    """400 unless the value can stand in a path."""
    if not IDENTITY.fullmatch(value):
        raise HTTPException(400, f"/{name}: expected 1 to 253 characters without spaces, / \\ ? # and %")


def check_text(name: str, value: str, longest: int = TEXT_LENGTH) -> None:
    """400 unless the value has a usual length."""
    if len(value) > longest:
        raise HTTPException(400, f"/{name}: expected at most {longest} characters")


class Agents:
    """Handlers of agents."""

    def __init__(self, api: Api) -> None:
        self.api, self.store = api, api.store

    def listed(self, request: Request) -> tuple[list[Listed], int]:
        """The page of agents that a request asks for, and how many there are in all."""
        page = parse_page(request)
        search = request.query_params.get("search", "")
        by = AgentFilter(request.state.tenant, search, request.state.principal.agent_id)
        return list_page(self.store, by, page.size, page.offset)

    def list_agents(self, request: Request) -> Response:
        """GET /agents."""
        found, total = self.listed(request)
        return list_response(request, (orjson.dumps(agent_wire(one)) for one in found), total)

    def list_infrastructures(self, request: Request) -> Response:
        """GET /infrastructures: one per agent."""
        found, total = self.listed(request)
        return list_response(request, (orjson.dumps(infrastructure_wire(one.agent)) for one in found), total)

    def get_agent(self, request: Request) -> Response:
        """GET /agents/{agentIdentity}, and the same below /infrastructure."""
        agent = agent_in_path(self.store, request)
        inventory = newest_inventory(self.store, agent.id)
        ours = {"correlationID": correlation_of(request), "inventory": inventory}
        return api_response(self.wire(agent) | ours)

    def wire(self, agent: Agent) -> dict[str, Any]:
        """The agent with its counts and its newest installation."""
        with self.store.reading() as connection:
            newest = newest_installation(connection, agent.id)
        return agent_wire(count_of(self.store, agent), installation_wire(newest) if newest else None)

    def create_agent(self, request: Request) -> Response:
        """POST /agents."""
        body = decode_body(request, CreateAgentRequest)
        check_identity("infraIdentifier", body.infra_identifier)
        check_text("name", body.name, 253)
        asked, own = request.state.tenant, request.state.principal.tenant
        if own.environment not in {"", body.environment_identifier}:
            raise HTTPException(404, "no such environment")
        tenant = asked._replace(environment=body.environment_identifier)
        now_ns, by = self.api.clock(), person_id(request.state.principal.token_id)
        values = {
            "name": body.name,
            "config": orjson.dumps(complete_config(plain(body.config))),
            "permanent": body.permanent_installation is True,
            "webhook_url": body.webhook_url if isinstance(body.webhook_url, str) else "",
            "created_by": by,
            "updated_by": by,
            "installation_type": "MANIFEST" if request.query_params.get("noInstallation") == "true" else "CONNECTOR",
        }
        try:
            with self.store.writing(exclusive=True) as connection:
                known = find_agent_row(connection, body.infra_identifier, tenant, only_active=True)
                if known is not None:
                    raise HTTPException(409, "infraIdentifier: the tenant has an agent of that identity")
                agent = insert_agent(connection, tenant, body.infra_identifier, now_ns, self.api.random_bytes, **values)
                answer = agent_wire(Listed(agent, 0, 0)) | self.installed(connection, agent)
        except ConfigRefusedError as error:
            raise HTTPException(400, str(error)) from error
        return api_response(answer | {"correlationID": correlation_of(request)}, 201)

    def installed(self, connection: Connection, agent: Agent) -> dict[str, Any]:
        """What a new agent's answer says of its installation: a delegate's task, or manifests to apply by hand.

        Manifests hold a token of the agent, which is shown this once; they need the setting `agents.url`.
        """
        random_bytes, now_ns = self.api.random_bytes, self.api.clock()
        if agent.installation_type == "CONNECTOR":
            following = following_object_id(agent.object_id)
            made = create_installation(connection, agent, now_ns, random_bytes, installation_id=following)
            return {"installationDetails": installation_wire(made)}
        config = orjson.loads(agent.config or b"{}")
        check_config(config)
        if not self.api.agents.manager_url:
            return {}
        source, config = apply_image_registry(connection, agent.tenant, self.api.agents, config)
        token = mint_agent_token(connection, agent, now_ns, random_bytes).text()
        return {"installationManifest": as_yaml(agent_manifests(config, source, token, permanent=agent.permanent))}

    def update_agent(self, request: Request) -> Response:
        """PUT /agents/{agentIdentity}: name and configuration."""
        body = decode_body(request, UpdateAgentRequest)
        check_text("name", body.name, 253)
        agent = agent_in_path(self.store, request)
        config = orjson.dumps(complete_config(plain(body.config)))
        changed = {"updated_ns": self.api.clock(), "updated_by": person_id(request.state.principal.token_id)}
        try:
            check_config(orjson.loads(config))
        except ConfigRefusedError as error:
            raise HTTPException(400, str(error)) from error
        with self.store.writing() as connection:
            agent = change_agent(connection, agent.id, name=body.name, config=config, **changed)
        return api_response(self.wire(agent) | {"correlationID": correlation_of(request)})

    def delete_agent(self, request: Request) -> Response:
        """DELETE /agents/{agentIdentity}: what was installed is deleted, and its tokens get 404 from now on."""
        agent, now_ns = agent_in_path(self.store, request), self.api.clock()
        with self.store.writing(exclusive=True) as connection:
            remove_installations(connection, agent.id, now_ns, self.api.random_bytes)
            change_agent(connection, agent.id, removed_ns=now_ns)
        return api_response({"correlationID": correlation_of(request)})
