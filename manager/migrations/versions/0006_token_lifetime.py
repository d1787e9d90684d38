"""When a token expires, and when it was last used."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Null: a token of before never expires, and its use is not known."""
    op.add_column("tokens", Column("expires_ns", BigInteger))
    op.add_column("tokens", Column("last_used_ns", BigInteger))
