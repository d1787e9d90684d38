"""Tokens of agents: a request mints one more, and two of them are good at a time."""

from starlette.requests import Request
from starlette.responses import Response

from manager.api.endpoint import Api
from manager.api.wire import api_response
from manager.http.auth import agent_in_path
from manager.store.tokens.agents import mint_agent_token


class AgentTokens:
    """The handler of an agent's tokens."""

    def __init__(self, api: Api) -> None:
        self.api, self.store = api, api.store

    def get_agent_token(self, request: Request) -> Response:
        """GET /agenttoken/{agentIdentity}: it changes what is stored, and so needs scope admin."""
        agent = agent_in_path(self.store, request)
        with self.store.writing(exclusive=True) as connection:
            token = mint_agent_token(connection, agent, self.api.clock(), self.api.random_bytes)
        return api_response({"token": token.text()})
