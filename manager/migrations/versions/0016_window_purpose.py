"""What a window was ordered for: JSON, absent for the windows of the schedule."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Windows from before are all of the schedule."""
    op.add_column("windows", sa.Column("purpose", sa.LargeBinary))
