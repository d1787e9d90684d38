"""Authentication: agents by `Authorization: Token`, people by `X-API-Key` or `Authorization: Bearer`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from manager.store.database import Store
from manager.store.tokens import Agent, Principal, authenticate, find_agent


def unauthorized(scheme: str) -> HTTPException:
    """The one answer to every wrong, unknown or missing token."""
    return HTTPException(401, "no or wrong token", headers={"WWW-Authenticate": scheme})


def require_ingest_token(request: Request) -> str:
    """The token of an agent's request; 401 unless there is exactly one header of the right shape."""
    headers = request.headers.getlist("authorization")
    scheme, _, token = (headers[0] if len(headers) == 1 else "").partition(" ")
    if scheme.lower() != "token" or not token:
        raise unauthorized("Token")
    return token.strip()


def require_agent(store: Store, token: str, now_ns: int) -> Principal:
    """The agent behind a token: 401 if the token is wrong, 404 if its agent is gone."""
    principal = authenticate(store, token, "ingest", now_ns)
    if principal is None:
        raise unauthorized("Token")
    if principal.agent_removed or principal.agent_id is None:
        raise HTTPException(404, "the token's agent is gone")
    return principal


def require_reader(store: Store, request: Request, now_ns: int) -> None:
    """401 unless the request carries a key with scope read; the key's own cluster, if any, is noted."""
    key = request.headers.get("x-api-key", "")
    if not key:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else ""
    principal = authenticate(store, key, "read", now_ns)
    if principal is None:
        raise unauthorized("Bearer")
    request.state.only_agent_id = principal.agent_id


def agent_in_path(store: Store, request: Request) -> Agent:
    """The agent named in the path; 404 if there is none."""
    agent = find_agent(store, request.path_params["agent_identity"])
    if agent is None or not may_read(request, agent):
        raise HTTPException(404, "no such agent")
    return agent


def may_read(request: Request, agent: Agent) -> bool:
    """Whether the request's key is for all clusters, or for that of the agent."""
    return request.state.only_agent_id in {None, agent.id}
