"""Authentication: agents by `Authorization: Token`, people by `X-API-Key` or `Authorization: Bearer`."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from manager.store.agents import Agent, find_agent
from manager.store.database import Store
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import Principal, authenticate
from manager.store.tokens.token_format import Scope

# The query parameters that name a tenant, in the order of its parts.
PARAMETERS = ("accountIdentifier", "organizationIdentifier", "projectIdentifier", "environmentIdentifier")


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


def require_key(store: Store, request: Request, now_ns: int, scope: Scope = "read") -> None:
    """401 unless the request carries a person's key, 403 unless the key's scope is enough.

    The key's holder and the tenant that the request asks about are noted in the request's state.
    """
    key = request.headers.get("x-api-key", "")
    if not key:
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        key = rest.strip() if scheme.lower() == "bearer" else ""
    principal = authenticate(store, key, "read", now_ns)
    if principal is None:
        raise unauthorized("Bearer")
    if scope == "admin" and principal.scope != "admin":
        raise HTTPException(403, "the key's scope is read, expected admin")
    request.state.principal = principal
    request.state.tenant = tenant_of(request, principal)


def tenant_of(request: Request, principal: Principal) -> Tenant:
    """The tenant that a request names; 403 for an account, 404 for a part of it, that is not the key's.

    A key of one account must name the account; a key of all, in a manager without tenants, may name nothing.
    """
    asked = Tenant(*(request.query_params.get(name, "") for name in PARAMETERS))
    own = principal.tenant
    if own.account and not asked.account:
        raise HTTPException(400, "accountIdentifier: expected the account of the key")
    if own.account not in {"", asked.account}:
        raise HTTPException(403, "accountIdentifier: the key is of another account")
    # Operations that create an agent, or are about a whole project, have no such parameter.
    asked = asked._replace(environment=asked.environment or own.environment)
    if not own.includes(asked):
        raise HTTPException(404, "no such organization, project or environment")
    return asked


def agent_in_path(store: Store, request: Request) -> Agent:
    """The agent named in the path; 404 if the tenant has none of that name."""
    agent = find_agent(store, request.path_params["agent_identity"], request.state.tenant)
    if agent is None or not may_read(request, agent):
        raise HTTPException(404, "no such agent")
    return agent


def may_read(request: Request, agent: Agent) -> bool:
    """Whether the request's key is for all clusters, or for that of the agent."""
    return request.state.principal.agent_id in {None, agent.id}
