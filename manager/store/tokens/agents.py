"""Tokens of agents that the API mints: two of an agent's are good at a time."""

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from manager.store.agents import Agent
from manager.store.tables import TOKENS
from manager.store.tokens.issued import insert_token
from manager.store.tokens.token_format import Token

NAME = "agent token of the API"
GOOD_AT_ONCE = 2


def mint_agent_token(connection: Connection, agent: Agent, now_ns: int, random_bytes: Callable[[int], bytes]) -> Token:
    """A new token with which the agent pushes; of those minted before only the newest stays good."""
    minted = (TOKENS.c.agent_id == agent.id) & (TOKENS.c.name == NAME) & TOKENS.c.revoked_ns.is_(None)
    newest_first = select(TOKENS.c.id).where(minted).order_by(TOKENS.c.created_ns.desc(), TOKENS.c.id)
    outdated = list(connection.execute(newest_first).scalars())[GOOD_AT_ONCE - 1 :]
    connection.execute(update(TOKENS).where(TOKENS.c.id.in_(outdated)).values(revoked_ns=now_ns))
    return insert_token(connection, "ingest", NAME, now_ns, random_bytes, agent_id=agent.id, tenant=agent.tenant)
