"""The cgroups in which a batch's pods were seen: gzipped JSON, absent where the agent sent none."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Batches from before have none; PostgreSQL need not compress what is compressed."""
    op.add_column("observations", sa.Column("pod_cgroups", sa.LargeBinary))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE observations ALTER COLUMN pod_cgroups SET STORAGE EXTERNAL")
