"""The windows of an agent, as rows."""

import orjson
from sqlalchemy import Connection

from manager.store.database import upsert
from manager.store.tables import WINDOWS
from podsonar.model import Window


def upsert_window(connection: Connection, agent_id: str, window: Window) -> None:
    """Add the window to the agent's, with the bounds of the newest batch."""
    row = {"agent_id": agent_id, "window_id": window.id, "start_ns": window.start_ns, "end_ns": window.end_ns}
    purpose = {"purpose": orjson.dumps(window.purpose.wire())} if window.purpose else {}
    upsert(connection, WINDOWS, [row | purpose])
