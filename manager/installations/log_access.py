"""Log streams of installations: which of them a delegate's token may write to, and the manager's own lines in them."""

from sqlalchemy import Connection, select

from manager.store.database import Store
from manager.store.delegate_tables import DELEGATE_TASKS
from manager.store.logs.streams import append_lines, open_stream
from manager.store.logs.tokens import LogWriter
from manager.store.tenancy import Tenant
from manager.store.tokens.issued import authenticate
from podsonar.timestamp import rfc3339

ACCOUNT_WITHOUT_TENANTS = "default"
MANAGER = "manager"


def log_account(tenant: Tenant) -> str:
    """The account of a tenant's streams; a stream has always one."""
    return tenant.account or ACCOUNT_WITHOUT_TENANTS


def open_log(connection: Connection, tenant: Tenant, key: str, now_ns: int) -> None:
    """Open the stream of an installation."""
    scope = {"organization": tenant.organization, "project": tenant.project}
    open_stream(connection, log_account(tenant), key, now_ns, **scope)


def write_log(connection: Connection, tenant: Tenant, key: str, text: str, now_ns: int, level: str = "info") -> None:
    """Add a line of the manager's own."""
    line = {"level": level, "pos": 0, "out": text, "time": rfc3339(now_ns), "args": {"PodName": MANAGER}}
    append_lines(connection, log_account(tenant), key, MANAGER, [line], now_ns)


def find_delegate_writer(store: Store, text: str, account: str, key: str, now_ns: int) -> LogWriter | None:
    """The writer behind a delegate's token: it may write to the streams of tasks that were handed out to its tenant.

    None for no such token; a writer who may not write to the stream for one of another account or another key.
    """
    principal = authenticate(store, text, "delegate", now_ns)
    if principal is None:
        return None
    tenant = principal.tenant
    inside = [DELEGATE_TASKS.c[name] == value for name, value in tenant._asdict().items() if value]
    wanted = select(DELEGATE_TASKS.c.account).where(
        DELEGATE_TASKS.c.log_key == key, DELEGATE_TASKS.c.attempt > 0, *inside
    )
    with store.reading() as connection:
        accounts = {found or ACCOUNT_WITHOUT_TENANTS for found in connection.execute(wanted).scalars()}
    own = account if account in accounts else ""
    return LogWriter(principal.token_id, own, key, organization=tenant.organization, project=tenant.project)
