"""Tenants: every row and every token belongs to an account, organization, project and environment.

All four are empty where a manager has no tenants. In a token an empty one stands for every value below the one before.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, and_


class Tenant(NamedTuple):
    """The owner of a row. Two tenants that differ in any of the four never see each other's rows."""

    account: str = ""
    organization: str = ""
    project: str = ""
    environment: str = ""

    def includes(self, other: "Tenant") -> bool:
        """Whether a token of this tenant may act for the other one."""
        return all(own in {"", asked} for own, asked in zip(self, other, strict=True))


NO_TENANT = Tenant()


def of_tenant(table: Table, tenant: Tenant) -> ColumnElement[bool]:
    """The condition for the tenant's rows of a table that has the four columns."""
    return and_(*(table.c[name] == value for name, value in tenant._asdict().items()))
