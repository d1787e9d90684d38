"""A PostgreSQL connection every operation of which ends, whatever the server does.

A server that stands still acknowledges TCP and answers nothing: neither its own `statement_timeout` nor TCP's time-outs
end a wait for it. Here each wait for an answer has a limit, beyond which the connection is closed.
"""

from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen

ANSWER_SECONDS = 12.0  # more than `statement_timeout`: a server that works ends a statement itself
RV = TypeVar("RV")


class BoundedConnection(psycopg.Connection[Any]):
    """psycopg's connection; `answer_seconds` is None for as long as a wait may take as long as it takes."""

    answer_seconds: float | None = ANSWER_SECONDS

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an operation; OperationalError, and the connection is closed, if the server does not answer."""
        limit = self.answer_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except errors._WaitTimeout as error:  # noqa: SLF001 - no public name (psycopg 3.3)
            self.pgconn.finish()
            raise psycopg.OperationalError(f"the server did not answer within {limit} s") from error
